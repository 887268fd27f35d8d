/** The rooms, each loaded when it is entered or soon after the first one is there: then going from room to room works
 * while the agent is away. One that cannot be loaded says so in its place, and comes when the agent is back: a loaded part
 * is a query like any other, and those that failed are asked again when the stream lives. */

import { type QueryClient, type UseQueryResult, queryOptions, useQuery } from '@tanstack/react-query';
import type { ComponentType } from 'react';

import { ApiError } from '../api/errors';
import { m } from '../messages';
import { Answer } from '../ui/Answer';

type Load = () => Promise<{ default: ComponentType }>;

const LOADERS = {
  overview: () => import('../overview/Overview'),
  vms: () => import('../vm/VmList'),
  vm: () => import('../vm/VmRoom'),
  newVm: () => import('../vm/NewVmRoom'),
  storage: () => import('../storage/StorageRoom'),
  pool: () => import('../storage/PoolRoom'),
  templates: () => import('../templates/TemplatesRoom'),
  template: () => import('../templates/TemplateRoom'),
  quotas: () => import('../quotas/QuotasRoom'),
  peers: () => import('../replication/PeersRoom'),
  tasks: () => import('../tasks/TasksRoom'),
  account: () => import('../account/AccountRoom'),
  users: () => import('../users/UsersRoom'),
  drawer: () => import('../tasks/TaskDrawer'),
} satisfies Record<string, Load>;

export type RoomName = keyof typeof LOADERS;

interface Part {
  Body: ComponentType;
}

function partOf(name: RoomName) {
  return queryOptions<Part>({
    queryKey: ['part', name],
    queryFn: async () => {
      try {
        return { Body: (await LOADERS[name]()).default };
      } catch (cause) {
        if (!(cause instanceof TypeError)) throw cause;
        throw new ApiError(0, 'no_answer', m.error.notLoaded, '');
      }
    },
    retry: false,
    structuralSharing: false,
  });
}

export function Enter({ room }: { room: RoomName }) {
  const part: UseQueryResult<Part> = useQuery(partOf(room));
  return <Answer query={part}>{({ Body }) => <Body />}</Answer>;
}

const SETTLED_MS = 4000;

/** Begins once the first room has had the line to itself; what fails is loaded when it is needed. */
export function fetchAhead(client: QueryClient): () => void {
  const timer = setTimeout(() => {
    for (const name of Object.keys(LOADERS) as RoomName[]) client.query(partOf(name)).catch(() => undefined);
  }, SETTLED_MS);
  return () => clearTimeout(timer);
}
