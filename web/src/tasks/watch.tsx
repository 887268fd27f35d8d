import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, createContext, useCallback, useContext, useEffect, useRef } from 'react';

import { keys } from '../api/cache';
import type { Task } from '../api/types';
import { useToast } from '../app/toasts';
import { m } from '../messages';
import { TaskLink } from './TaskLink';
import { isFinal, titleOf } from './words';

type Watch = (task: Task) => void;

const WatchContext = createContext<Watch>(() => undefined);

/** Called with each task the user has just started, so that its end is told wherever they are by then. */
export function useWatch(): Watch {
  return useContext(WatchContext);
}

export function WatchProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const toast = useToast();
  const mine = useRef(new Set<string>());
  const tell = useCallback(
    (task: Task) => {
      if (!isFinal(task) || !mine.current.delete(task.id)) return;
      if (task.state === 'completed') toast('success', m.task.done(titleOf(task)));
      else toast('danger', m.task.notDone(titleOf(task)), <FailedTask task={task} />);
    },
    [toast],
  );
  useEffect(
    () =>
      client.getQueryCache().subscribe(({ query }) => {
        const [kind] = query.queryKey as readonly unknown[];
        const task = query.state.data as Task | undefined;
        if (kind === 'task' && task) tell(task);
      }),
    [client, tell],
  );
  const watch = useCallback<Watch>(
    (task) => {
      mine.current.add(task.id);
      tell(client.getQueryData<Task>(keys.task(task.id)) ?? task);
    },
    [client, tell],
  );
  return <WatchContext value={watch}>{children}</WatchContext>;
}

function FailedTask({ task }: { task: Task }) {
  return (
    <>
      <p>{task.error ?? m.task.state[task.state]}</p>
      <TaskLink id={task.id}>{m.task.show}</TaskLink>
    </>
  );
}
