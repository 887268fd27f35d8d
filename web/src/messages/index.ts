/** Every sentence the console says, in one tree. Names are the glossary's; units are written out by `ui/format.ts`. */

import { access } from './access';
import { errors } from './errors';
import { frame } from './frame';
import { peers, quotas, replication } from './replication';
import { disks, snapshots } from './snapshots';
import { storage } from './storage';
import { tasks } from './tasks';
import { templates } from './templates';
import { consoles, vms } from './vms';

export const m = {
  ...frame,
  ...access,
  error: errors,
  task: tasks,
  vm: vms,
  console: consoles,
  storage,
  snapshot: snapshots,
  disk: disks,
  template: templates,
  replication,
  peer: peers,
  quota: quotas,
};
