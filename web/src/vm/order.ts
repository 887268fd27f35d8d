/** The form of a new machine, as the body of `POST /api/vms` and as the same thing on the command line: pure. */

import type { Architecture, CloudInit, Firmware, NewDisk, NewVm } from '../api/types';

export interface Order {
  name: string;
  id: string;
  cpuCores: string;
  memoryMb: string;
  pool: string;
  /** Name of the image the disk begins from; '' for an empty disk. */
  image: string;
  /** '' as large as the image; '0' no disk at all. */
  diskGb: string;
  hasDisk: boolean;
  /** `<pool>/<image>`, or ''. */
  cdrom: string;
  /** '' the host's own. */
  architecture: Architecture | '';
  firmware: Firmware;
  hasNic: boolean;
  tags: string;
  autostart: boolean;
  start: boolean;
  user: string;
  sshKeys: string;
  userData: string;
}

export const EMPTY: Order = {
  name: '',
  id: '',
  cpuCores: '1',
  memoryMb: '1024',
  pool: 'local',
  image: '',
  diskGb: '10',
  hasDisk: true,
  cdrom: '',
  architecture: '',
  firmware: 'bios',
  hasNic: true,
  tags: '',
  autostart: false,
  start: true,
  user: '',
  sshKeys: '',
  userData: '',
};

export function tagsOf(text: string): string[] {
  return text
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '');
}

/** The body of an order: of what may be left out, this the form always says. */
type OrderBody = Omit<NewVm, 'disks'> & Required<Pick<NewVm, 'cpu_cores' | 'memory_mb'>> & { disks: OrderDisk[] };
type OrderDisk = NewDisk & Required<Pick<NewDisk, 'storage_pool'>>;

/** What is left at its default is left out, so that the same order reads short by API and command line. */
export function bodyOf(order: Order): OrderBody {
  const tags = tagsOf(order.tags);
  const seed = cloudInitOf(order);
  return {
    ...(order.id.trim() && { id: order.id.trim() }),
    ...(order.name.trim() && { name: order.name.trim() }),
    cpu_cores: Number(order.cpuCores),
    memory_mb: Number(order.memoryMb),
    disks: order.hasDisk ? [diskOf(order)] : [],
    ...(order.cdrom && { cdrom: order.cdrom }),
    ...(order.architecture && { architecture: order.architecture }),
    ...(order.firmware === 'uefi' && { firmware: 'uefi' as const }),
    ...(!order.hasNic && { nics: [] }),
    ...(tags.length > 0 && { tags }),
    ...(order.autostart && { autostart: true }),
    ...(seed && { cloud_init: seed }),
    ...(order.start && { start: true }),
  };
}

function diskOf(order: Order): OrderDisk {
  return {
    storage_pool: order.pool,
    ...(order.image && { image: order.image }),
    ...(order.diskGb.trim() && { size_gb: Number(order.diskGb) }),
  };
}

function cloudInitOf(order: Order): CloudInit | null {
  const keys = order.sshKeys.split('\n').map((key) => key.trim()).filter((key) => key !== '');
  const seed: CloudInit = {
    ...(order.user.trim() && { user: order.user.trim() }),
    ...(keys.length > 0 && { ssh_keys: keys }),
    ...(order.userData.trim() && { user_data: order.userData }),
  };
  return Object.keys(seed).length > 0 ? seed : null;
}

/** `text` as one word of a POSIX shell. */
export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

export function asApiCall(order: Order, origin: string): string {
  const body = JSON.stringify(bodyOf(order), null, 2);
  return [
    `curl -X POST ${quote(`${origin}/api/vms`)} \\`,
    `  -H "Authorization: Bearer $HORCRUX_TOKEN" \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d ${quote(body)}`,
  ].join('\n');
}

/** The same order as a command; the files named in it are what the form's text areas hold. */
export function asCommand(order: Order): string {
  const body = bodyOf(order);
  const words = ['horcrux vm create'];
  const add = (flag: string, value?: string | number) =>
    words.push(value === undefined ? flag : `${flag} ${quote(String(value))}`);
  if (body.id) words.push(quote(body.id));
  if (body.name) add('--name', body.name);
  add('--cores', body.cpu_cores);
  add('--memory', `${body.memory_mb}M`);
  for (const disk of body.disks) add('--disk', diskWords(disk));
  if (body.cdrom) add('--cdrom', body.cdrom);
  if (body.architecture) add('--arch', body.architecture);
  if (body.firmware) add('--firmware', body.firmware);
  if (body.nics) add('--nic', 'none');
  for (const tag of body.tags ?? []) add('--tag', tag);
  if (body.autostart) add('--autostart');
  if (body.cloud_init?.user) add('--cloud-user', body.cloud_init.user);
  if (body.cloud_init?.ssh_keys) add('--ssh-key', 'id_ed25519.pub');
  if (body.cloud_init?.user_data) add('--user-data', 'user-data.yaml');
  if (body.start) add('--start');
  return words.join(' \\\n  ');
}

function diskWords(disk: OrderDisk): string {
  const parts = [`pool=${disk.storage_pool}`];
  if (disk.image) parts.push(`image=${disk.image}`);
  if (typeof disk.size_gb === 'number') parts.push(`size=${disk.size_gb}`);
  return parts.join(',');
}
