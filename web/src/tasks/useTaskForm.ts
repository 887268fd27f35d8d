import { type UseMutationResult, useMutation } from '@tanstack/react-query';

import type { Task } from '../api/types';
import { useWatch } from './watch';

/** A form whose submit starts a task: closes when the server has taken it, and then its end is told by a toast. */
export function useTaskForm(run: () => Promise<Task | null>, close: () => void): UseMutationResult<Task | null> {
  const watch = useWatch();
  return useMutation({
    mutationFn: run,
    onSuccess: (task) => {
      if (task) watch(task);
      close();
    },
  });
}
