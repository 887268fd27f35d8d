import { describe, expect, it } from 'vitest';

import type { Quota } from '../api/types';
import { titleOf, useOf } from './quota-words';

function quota(used_bytes: number, limit_bytes: number, user: string | null = null, pool: string | null = null): Quota {
  return { used_bytes, limit_bytes, user, pool } as Quota;
}

describe('the use of a quota', () => {
  it.each([
    [0, 100, 0, 'fine'],
    [85, 100, 0.85, 'fine'],
    [86, 100, 0.86, 'full'],
    [100, 100, 1, 'full'],
    [101, 100, 1, 'over'],
    [0, 0, 1, 'full'],
    [1, 0, 1, 'over'],
  ])('of %d in %d is %d, %s', (used, limit, share, state) => {
    expect(useOf(quota(used, limit))).toEqual({ share, state });
  });
});

describe('a quota is called', () => {
  it('by its user, its pool, or both', () => {
    expect(titleOf(quota(0, 1, 'olga'))).toBe('olga');
    expect(titleOf(quota(0, 1, null, 'tank'))).toBe('tank');
    expect(titleOf(quota(0, 1, 'olga', 'tank'))).toBe('olga in tank');
  });
});
