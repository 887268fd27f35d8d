/** Which verbs a machine admits: the server's answer where we have its detail, the same table where we have only a row. */

import type { RunState, Scope, Verb, VmListItem } from '../api/types';
import { m } from '../messages';

export type PowerVerb = 'start' | 'shutdown' | 'reboot' | 'pause' | 'resume' | 'stop' | 'reset';

export const POWER: readonly PowerVerb[] = ['start', 'shutdown', 'reboot', 'pause', 'resume', 'reset', 'stop'];

/** Verbs that lose what the guest has not written; they are asked about first. */
export const HARSH: ReadonlySet<Verb> = new Set<Verb>(['stop', 'reset', 'delete']);

const ADMITS: Record<RunState, readonly Verb[]> = {
  stopped: ['start', 'delete', 'update', 'clone'],
  crashed: ['start', 'delete', 'update', 'clone'],
  running: ['stop', 'shutdown', 'reboot', 'reset', 'pause', 'update', 'console', 'delete'],
  paused: ['stop', 'resume', 'update', 'console', 'delete'],
  stopping: ['stop', 'shutdown', 'update', 'console'],
  creating: [],
  reverting: [],
  deleting: [],
  unknown: [],
};

const NEEDS: Partial<Record<Verb, Scope>> = { delete: 'vm.write', update: 'vm.write', clone: 'vm.write', console: 'vm.console' };

/** Why `verb` cannot be used on `vm` now; empty when it can. */
export function whyNot(vm: VmListItem, verb: Verb, may: (scope: Scope) => boolean): string {
  if (!may(NEEDS[verb] ?? 'vm.power')) return m.vm.noRight;
  if (!ADMITS[vm.status].includes(verb)) return m.vm.notWhile(m.vm.state[vm.status]);
  return vm.operation && verb !== 'console' ? m.vm.busyNow : '';
}

export function hasScreen(status: RunState): boolean {
  return ADMITS[status].includes('console');
}
