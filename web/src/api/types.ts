/** The API's bodies, as far as the console reads them. Times are epoch seconds; `memory_mb` MiB, `size_gb` GiB. */

export type RunState =
  | 'creating'
  | 'stopped'
  | 'running'
  | 'paused'
  | 'stopping'
  | 'crashed'
  | 'deleting'
  | 'unknown';

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
  | 'console';

export interface VmListItem {
  id: string;
  name: string;
  status: RunState;
  cpu_cores: number;
  memory_mb: number;
  architecture: string;
  node: string;
  tags: string[];
  operation: string | null;
  revision: number;
}

export interface DiskView {
  name: string;
  storage_pool: string;
  volume: string;
  size_gb: number;
  bus: string;
  cache: string;
  format: string;
}

export interface NicView {
  mac: string;
  model: string;
  bridge: string | null;
  vnet: string | null;
}

export interface CloudInit {
  user?: string | null;
  ssh_keys?: string[];
  network?: Record<string, unknown> | null;
  user_data?: string | null;
}

export interface PendingChange {
  field: string;
  running: unknown;
  wanted: unknown;
}

export interface AllowedAction {
  allowed: boolean;
  reason: string;
}

export interface VmView extends VmListItem {
  status_reason: string;
  since: number | null;
  firmware: 'bios' | 'uefi';
  machine: string | null;
  cpu_model: string | null;
  disks: DiskView[];
  nics: NicView[];
  cdrom: string | null;
  cloud_init: CloudInit | null;
  owner: string;
  uuid: string;
  notes: string;
  autostart: boolean;
  created_at: number;
  pending: PendingChange[];
  allowed_actions: Partial<Record<Verb, AllowedAction>>;
}

export interface NewDisk {
  storage_pool: string;
  size_gb?: number;
  image?: string;
  bus?: string;
}

export interface NewVm {
  id?: string;
  name?: string;
  cpu_cores: number;
  memory_mb: number;
  disks: NewDisk[];
  architecture?: string;
  firmware?: 'bios' | 'uefi';
  cpu_model?: string;
  tags?: string[];
  autostart?: boolean;
  cloud_init?: CloudInit;
  nics?: { bridge?: string; model?: string }[];
  cdrom?: string;
  start?: boolean;
}

export interface VmChange {
  name?: string;
  cpu_cores?: number;
  memory_mb?: number;
  firmware?: 'bios' | 'uefi';
  tags?: string[];
  notes?: string;
  autostart?: boolean;
  cdrom?: string | null;
}

export type TaskState = 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';

export interface Task {
  id: string;
  action: string;
  target: string;
  node: string;
  user: string;
  state: TaskState;
  stage: string;
  progress: number;
  error: string | null;
  error_code: string | null;
  warnings: string[];
  created_at: number;
  started_at: number | null;
  finished_at: number | null;
  result: Record<string, unknown> | null;
}

export interface LogLine {
  at: number;
  text: string;
}

export interface Pool {
  id: string;
  name: string;
  storage_type: string;
  /** Whole GiB, as the documents have them. */
  available: number;
  total: number;
  available_bytes: number;
  total_bytes: number;
  node: string;
  target: string;
  is_active: boolean;
  reason: string;
  revision: number;
}

export interface VolumeUse {
  vm_id: string;
  disk: string;
}

export interface Volume {
  pool: string;
  name: string;
  format: string;
  size_gb: number;
  capacity_bytes: number;
  allocation_bytes: number;
  used_by: VolumeUse | null;
}

export interface Image {
  pool: string;
  name: string;
  format: string;
  size_bytes: number;
  virtual_size_bytes: number;
  sha256: string;
  created_at: number;
  used_by: VolumeUse | null;
}

export type Role = 'admin' | 'operator' | 'viewer';

export interface Me {
  username: string;
  role: Role;
  scopes: string[];
  expires: number | null;
}

export interface User {
  name: string;
  role: Role;
  disabled: boolean;
  created_at: number;
  password_changed_at: number;
}

export interface ApiToken {
  id: string;
  user: string;
  name: string;
  scopes: string[];
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
}

export interface ConsoleTicket {
  ticket: string;
  port: number;
  expires_at: number;
  url: string;
}

/** One thing a host can do, or why it cannot and what helps. `needed`: without it no VM runs here. */
export interface Capability {
  name: string;
  ok: boolean;
  needed: boolean;
  detail: string;
  reason: string;
  remedy: string;
}

export interface Host {
  hostname: string;
  system: string;
  kernel: string;
  architecture: string;
  cpu_model: string;
  cpu_cores: number;
  memory_mb: number;
  memory_available_mb: number;
  state_dir: string;
  state_dir_free_gb: number;
  machines: Record<string, { emulator: string; accel: 'kvm' | 'tcg' }>;
  capabilities: Capability[];
}
