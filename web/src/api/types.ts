/** The API's bodies under the console's names. `schema.d.ts` is generated from docs/openapi.json by `npm run types`. */

import type { components } from './schema';

type Schemas = components['schemas'];

export type Architecture = Schemas['Architecture'];
export type Firmware = Schemas['Firmware'];
export type RunState = Schemas['RunState'];
export type VmListItem = Schemas['VmListItem'];
export type VmView = Schemas['VmView'];
export type VmDisk = Schemas['DiskView'];
export type NewVm = Schemas['NewVm'];
export type NewDisk = Schemas['NewDisk'];
export type CloudInit = Schemas['CloudInit'];
export type VmChange = Schemas['VmChange'];
export type ConsoleTicket = Schemas['ConsoleTicket'];

/** By hand: `allowed_actions` has these keys, and the document lists an object's keys in words only. */
export type Verb =
  | 'start'
  | 'stop'
  | 'shutdown'
  | 'reboot'
  | 'reset'
  | 'pause'
  | 'resume'
  | 'delete'
  | 'update'
  | 'clone'
  | 'console';

export type Snapshot = Schemas['SnapshotView'];
export type Freeze = Schemas['Freeze'];

export type Template = Schemas['TemplateView'];

export type Quota = Schemas['QuotaView'];

export type OwnPeer = Schemas['PeerSelf'];
export type Peer = Schemas['PeerView'];
export type Replication = Schemas['ReplicationView'];

export type Task = Schemas['TaskView'];
export type TaskState = Schemas['TaskState'];
export type LogLine = Schemas['TaskLogLine'];

export type Health = Schemas['PoolView']['health'];
export type PoolType = Schemas['PoolType'];
export type Pool = Schemas['PoolView'];
export type FoundPool = Schemas['FoundPoolView'];
export type Volume = Schemas['VolumeView'];
export type VolumeUse = Schemas['VolumeUse'];
export type VolumeOptions = Schemas['VolumeOptions'];
export type VolumeSnapshot = Schemas['VolumeSnapshotView'];
export type Image = Schemas['ImageView'];

export type Me = Schemas['Me'];
export type Role = Schemas['Role'];
export type Scope = Schemas['Scope'];
export type SetupNeeded = Schemas['SetupNeeded'];
export type User = Schemas['UserView'];
export type ApiToken = Schemas['TokenView'];
export type CreatedToken = Schemas['CreatedToken'];
export type FieldProblem = Schemas['FieldProblem'];

/** `Required`: the document lets whoever writes one leave out what has a default, the agent itself writes all. */
export type Capability = Required<Schemas['Capability']>;
export type Host = Omit<Schemas['HostReport'], 'capabilities'> & { capabilities: Capability[] };
