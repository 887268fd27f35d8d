import { describe, expect, it } from 'vitest';

import type { Replication } from '../api/types';
import { lastSuccess, limitOf, nextRun, scheduleWords } from './schedule-words';

function replication(change: Partial<Replication>): Replication {
  return { is_enabled: true, next_run_at: null, last_success_at: null, ...change } as Replication;
}

describe('a schedule', () => {
  it('is told in words where there are some', () => {
    expect(scheduleWords('0 * * * *')).toBe('every hour');
    expect(scheduleWords('7 4 * * 1')).toBe('7 4 * * 1');
  });
});

describe('runs', () => {
  it('that come are told by how long that is', () => {
    expect(nextRun(replication({ next_run_at: 1240 }), 1_000_000)).toBe('in 4 min');
    expect(nextRun(replication({ next_run_at: 999 }), 1_000_000)).toBe('at any moment');
    expect(nextRun(replication({ next_run_at: 1240, is_enabled: false }), 1_000_000)).toBe('none');
    expect(nextRun(replication({}), 1_000_000)).toBe('none');
  });

  it('that went well are told by how long ago', () => {
    expect(lastSuccess(replication({ last_success_at: 880 }), 1_000_000)).toBe('2 min ago');
    expect(lastSuccess(replication({}), 1_000_000)).toBe('never yet');
  });
});

describe('a bandwidth limit', () => {
  it('that is left empty is none', () => {
    expect(limitOf(' ')).toBeNull();
    expect(limitOf('2.5')).toBe(2.5);
  });
});
