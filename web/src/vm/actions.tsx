import { useCallback } from 'react';

import { start } from '../api/client';
import { vmPath } from '../api/queries';
import type { VmListItem } from '../api/types';
import { useToast } from '../app/toasts';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import { ErrorDetails } from '../ui/ErrorAlert';
import type { PowerVerb } from './power';

const SHUTDOWN = { timeout_s: 120, force: false };

/** Starts a power verb; its end, or its refusal, is told by a toast. Rejects never. */
export function usePower(): (vm: VmListItem, verb: PowerVerb) => Promise<void> {
  const watch = useWatch();
  const toast = useToast();
  return useCallback(
    async (vm, verb) => {
      try {
        const task = await start('POST', `${vmPath(vm.id)}/${verb}`, { body: verb === 'shutdown' ? SHUTDOWN : undefined });
        if (task) watch(task);
      } catch (error) {
        toast('danger', m.vm.notStarted(m.vm.verb[verb], vm.name), <ErrorDetails error={error} withSentence />);
      }
    },
    [watch, toast],
  );
}

/** Deletes, powering off first when it runs. Rejects with the reason when it is refused. */
export function useDelete(): (vm: VmListItem) => Promise<void> {
  const watch = useWatch();
  return useCallback(
    async (vm) => {
      const isOff = vm.status === 'stopped' || vm.status === 'crashed';
      const task = await start('DELETE', vmPath(vm.id), { query: { force: isOff ? undefined : true } });
      if (task) watch(task);
    },
    [watch],
  );
}
