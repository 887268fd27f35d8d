/** Schedules and what came of them, in words: pure. */

import type { Replication } from '../api/types';
import { m } from '../messages';
import { ago, duration } from '../ui/format';

export const OWN = 'own';

/** The cron expression in words where it is one that the form offers, else as it is. */
export function scheduleWords(cron: string): string {
  return m.replication.schedules[cron] ?? cron;
}

export function lastSuccess(replication: Replication, nowMs: number): string {
  return replication.last_success_at === null ? m.replication.never : ago(replication.last_success_at, nowMs);
}

/** `in 4 min`; what is due already begins at any moment. */
export function nextRun(replication: Replication, nowMs: number): string {
  if (!replication.is_enabled || replication.next_run_at === null) return m.none;
  const left = replication.next_run_at - nowMs / 1000;
  return left <= 0 ? m.replication.due : m.replication.in(duration(Math.max(1, Math.round(left))));
}

/** The limit as the API has it: null for a field that was left empty. */
export function limitOf(text: string): number | null {
  return text.trim() === '' ? null : Number(text);
}
