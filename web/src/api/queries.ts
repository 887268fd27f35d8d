/** What the rooms read. Each list is read once and then follows the event stream (`cache.ts`). */

import { useQuery, type UseQueryResult } from '@tanstack/react-query';

import { TASKS_KEPT, inPoolKey, keys, listOf, poolKey, taskKey, vmKey } from './cache';
import { get } from './client';
import type {
  ApiToken,
  FoundPool,
  Host,
  Image,
  LogLine,
  OwnPeer,
  Peer,
  Pool,
  Quota,
  Replication,
  Snapshot,
  Task,
  Template,
  User,
  VmListItem,
  VmView,
  Volume,
  VolumeSnapshot,
} from './types';

export function useVms(): UseQueryResult<VmListItem[]> {
  return useQuery({ queryKey: keys.vms, queryFn: ({ signal }) => listOf<VmListItem>('/api/vms', 'vm', vmKey, signal) });
}

export function useVm(id: string): UseQueryResult<VmView> {
  return useQuery({
    queryKey: keys.vm(id),
    queryFn: ({ signal }) => get<VmView>(vmPath(id), { signal }),
  });
}

export function useTasks(): UseQueryResult<Task[]> {
  return useQuery({
    queryKey: keys.tasks,
    queryFn: ({ signal }) => listOf<Task>('/api/tasks', 'task', taskKey, signal, { query: { limit: TASKS_KEPT } }),
  });
}

export function useTask(id: string): UseQueryResult<Task> {
  return useQuery({
    queryKey: keys.task(id),
    queryFn: ({ signal }) => get<Task>(`/api/tasks/${encodeURIComponent(id)}`, { signal }),
  });
}

export function useTaskLog(id: string): UseQueryResult<LogLine[]> {
  return useQuery({
    queryKey: keys.taskLog(id),
    queryFn: ({ signal }) => get<LogLine[]>(`/api/tasks/${encodeURIComponent(id)}/log`, { signal }),
  });
}

export function usePools(): UseQueryResult<Pool[]> {
  return useQuery({
    queryKey: keys.pools,
    queryFn: ({ signal }) => listOf<Pool>('/api/storage', 'pool', poolKey, signal),
  });
}

export function useVolumes(pool: string): UseQueryResult<Volume[]> {
  return useQuery({
    queryKey: keys.volumes(pool),
    queryFn: ({ signal }) =>
      listOf<Volume>(`${poolPath(pool)}/volumes`, 'volume', inPoolKey, signal, { within: `${pool}/` }),
  });
}

export function useImages(pool: string): UseQueryResult<Image[]> {
  return useQuery({
    queryKey: keys.images(pool),
    queryFn: ({ signal }) =>
      listOf<Image>(`${poolPath(pool)}/images`, 'image', inPoolKey, signal, { within: `${pool}/` }),
  });
}

export function useFound(isEnabled: boolean): UseQueryResult<FoundPool[]> {
  return useQuery({
    queryKey: keys.found,
    queryFn: ({ signal }) => get<FoundPool[]>('/api/storage/found', { signal }),
    enabled: isEnabled,
  });
}

export function useVolumeSnapshots(pool: string, volume: string): UseQueryResult<VolumeSnapshot[]> {
  return useQuery({
    queryKey: keys.volumeSnapshots(pool, volume),
    queryFn: ({ signal }) => get<VolumeSnapshot[]>(`${volumePath(pool, volume)}/snapshots`, { signal }),
  });
}

export function useSnapshots(vm: string): UseQueryResult<Snapshot[]> {
  return useQuery({
    queryKey: keys.snapshots(vm),
    queryFn: ({ signal }) => get<Snapshot[]>(`${vmPath(vm)}/snapshots`, { signal }),
  });
}

export function useTemplates(): UseQueryResult<Template[]> {
  return useQuery({
    queryKey: keys.templates,
    queryFn: ({ signal }) => get<Template[]>('/api/templates', { signal }),
  });
}

export function useQuotas(): UseQueryResult<Quota[]> {
  return useQuery({ queryKey: keys.quotas, queryFn: ({ signal }) => get<Quota[]>('/api/quotas', { signal }) });
}

export function usePeers(): UseQueryResult<Peer[]> {
  return useQuery({ queryKey: keys.peers, queryFn: ({ signal }) => get<Peer[]>('/api/peers', { signal }) });
}

export function useOwnPeer(): UseQueryResult<OwnPeer> {
  return useQuery({ queryKey: keys.ownPeer, queryFn: ({ signal }) => get<OwnPeer>('/api/peers/self', { signal }) });
}

export function useReplications(): UseQueryResult<Replication[]> {
  return useQuery({
    queryKey: keys.replications,
    queryFn: ({ signal }) => get<Replication[]>('/api/replications', { signal }),
  });
}

export function useHost(): UseQueryResult<Host> {
  return useQuery({ queryKey: keys.host, queryFn: ({ signal }) => get<Host>('/api/host', { signal }) });
}

export function useUsers(): UseQueryResult<User[]> {
  return useQuery({ queryKey: keys.users, queryFn: ({ signal }) => get<User[]>('/api/auth/users', { signal }) });
}

export function useTokens(): UseQueryResult<ApiToken[]> {
  return useQuery({ queryKey: keys.tokens, queryFn: ({ signal }) => get<ApiToken[]>('/api/auth/tokens', { signal }) });
}

export function poolPath(pool: string): string {
  return `/api/storage/${encodeURIComponent(pool)}`;
}

export function vmPath(id: string): string {
  return `/api/vms/${encodeURIComponent(id)}`;
}

export function volumePath(pool: string, volume: string): string {
  return `${poolPath(pool)}/volumes/${encodeURIComponent(volume)}`;
}

export function templatePath(id: string): string {
  return `/api/templates/${encodeURIComponent(id)}`;
}

export function replicationPath(id: string): string {
  return `/api/replications/${encodeURIComponent(id)}`;
}
