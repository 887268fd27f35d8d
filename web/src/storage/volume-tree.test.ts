import { describe, expect, it } from 'vitest';

import type { Volume } from '../api/types';
import { rowsOf } from './volume-tree';

function volume(name: string, base: string | null = null): Volume {
  const size = { size_gb: 1, capacity_bytes: 2 ** 30, allocation_bytes: 0 };
  return { name, pool: 'p', format: 'raw', kind: 'file', ...size, base, clones: [], used_by: null, replica_of: null };
}

describe('the tree of volumes', () => {
  it('has linked clones beneath their base, by name', () => {
    const rows = rowsOf([volume('vm-10', 'base'), volume('other'), volume('vm-2', 'base'), volume('base')]);
    expect(rows.map((row) => [row.volume.name, row.level, row.place, row.of, row.clones])).toEqual([
      ['base', 1, 1, 2, 2],
      ['vm-2', 2, 1, 2, 0],
      ['vm-10', 2, 2, 2, 0],
      ['other', 1, 2, 2, 0],
    ]);
  });

  it('goes as deep as clones of clones', () => {
    expect(rowsOf([volume('c', 'b'), volume('b', 'a'), volume('a')]).map((row) => row.level)).toEqual([1, 2, 3]);
  });

  it('keeps a clone whose base is elsewhere', () => {
    expect(rowsOf([volume('c', 'gone')]).map((row) => row.level)).toEqual([1]);
  });
});
