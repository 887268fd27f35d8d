/** The query cache, kept true by the event stream: lists are read once and patched from then on. Nothing polls. */

import { QueryClient } from '@tanstack/react-query';

import { get } from './client';
import { isApiError } from './errors';
import { Recent, apply } from './patch';
import type { StreamEvent } from './stream';
import type { Image, Pool, Task, VmListItem, VmView, Volume } from './types';

export const keys = {
  me: ['me'] as const,
  host: ['host'] as const,
  vms: ['vms'] as const,
  vm: (id: string) => ['vm', id] as const,
  tasks: ['tasks'] as const,
  task: (id: string) => ['task', id] as const,
  taskLog: (id: string) => ['task-log', id] as const,
  pools: ['pools'] as const,
  volumes: (pool: string) => ['volumes', pool] as const,
  images: (pool: string) => ['images', pool] as const,
  found: ['found'] as const,
  volumeSnapshots: (pool: string, volume: string) => ['volume-snapshots', pool, volume] as const,
  snapshots: (vm: string) => ['snapshots', vm] as const,
  templates: ['templates'] as const,
  quotas: ['quotas'] as const,
  peers: ['peers'] as const,
  ownPeer: ['own-peer'] as const,
  replications: ['replications'] as const,
  users: ['users'] as const,
  tokens: ['tokens'] as const,
};

export const vmKey = (vm: VmListItem): string => vm.id;
export const taskKey = (task: Task): string => task.id;
export const poolKey = (pool: Pool): string => pool.id;
export const inPoolKey = (row: { pool: string; name: string }): string => `${row.pool}/${row.name}`;

export const recent = new Recent();

/** How many tasks the console keeps at hand; older ones are asked for one at a time. */
export const TASKS_KEPT = 200;

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: Infinity,
        gcTime: 30 * 60_000,
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        retry: (count, error) => count < 2 && (!isApiError(error) || error.status === 0 || error.status >= 502),
      },
    },
  });
}

/** A list read from the server, with what the stream said while it was on its way already in it; `within` is what
 * the ids of its rows begin with. */
export async function listOf<T>(
  path: string,
  kind: string,
  keyOf: (row: T) => string,
  signal: AbortSignal,
  { query = {}, within = '' }: { query?: Record<string, string | number>; within?: string } = {},
): Promise<T[]> {
  const mark = recent.mark();
  const rows = await get<T[]>(path, { signal, query });
  const missed = recent.since(mark, kind).filter((event) => event.id.startsWith(within));
  return missed.reduce((list, event) => apply(list, event, keyOf), rows);
}

export function takeEvent(client: QueryClient, event: StreamEvent): void {
  recent.add(event);
  TAKERS[event.kind]?.(client, event);
}

const TAKERS: Record<string, (client: QueryClient, event: StreamEvent) => void> = {
  vm: (client, event) => {
    client.setQueryData<VmListItem[]>(keys.vms, (rows) => rows && apply(rows, event, vmKey));
    takeVm(client, event);
  },
  task: takeTask,
  pool: (client, event) => client.setQueryData<Pool[]>(keys.pools, (rows) => rows && apply(rows, event, poolKey)),
  volume: (client, event) => patchPool(client, 'volumes', event),
  image: (client, event) => patchPool(client, 'images', event),
  template: readAgain,
  quota: readAgain,
  replication: readAgain,
  peer: (client) => void client.invalidateQueries({ queryKey: keys.peers }),
  user: (client) => void client.invalidateQueries({ queryKey: keys.users }),
  token: (client) => void client.invalidateQueries({ queryKey: keys.tokens }),
  node: (client) => void client.invalidateQueries({ queryKey: keys.host }),
};

/** What no event carries whole: read again, where somebody looks at it, when a task enters another state. */
const CHANGED_BY_TASKS = new Set(['snapshots', 'volume-snapshots', 'templates', 'quotas', 'replications', 'found']);

function readAgain(client: QueryClient): void {
  void client.invalidateQueries({ predicate: (query) => CHANGED_BY_TASKS.has(String(query.queryKey[0])) });
}

/** The detail holds more than a row of the list, so it is read again, but only while somebody looks at it. */
function takeVm(client: QueryClient, event: StreamEvent): void {
  const key = keys.vm(event.id);
  const row = event.data as VmListItem | null;
  if (row) client.setQueryData<VmView>(key, (view) => view && { ...view, ...row });
  void client.invalidateQueries({ queryKey: key });
}

function takeTask(client: QueryClient, event: StreamEvent): void {
  client.setQueryData<Task[]>(keys.tasks, (rows) => rows && apply(rows, event, taskKey, true).slice(0, TASKS_KEPT));
  const task = event.data as Task | null;
  if (!task) return;
  const before = client.getQueryData<Task>(keys.task(task.id));
  client.setQueryData(keys.task(task.id), task);
  if (before?.state !== task.state) readAgain(client);
  if (before?.stage !== task.stage || before.state !== task.state) {
    void client.invalidateQueries({ queryKey: keys.taskLog(task.id) });
  }
}

/** Rows of a pool's list; the event's id is `<pool>/<name>`. */
function patchPool(client: QueryClient, list: 'volumes' | 'images', event: StreamEvent): void {
  const pool = event.id.split('/')[0] ?? '';
  client.setQueryData<(Volume | Image)[]>(keys[list](pool), (rows) => rows && apply(rows, event, inPoolKey));
  void client.invalidateQueries({ queryKey: keys.pools });
}
