import { describe, expect, it } from 'vitest';

import type { Pool, Template, VmDisk } from '../api/types';
import { isGrowth, nextSize, poolsFor, templateOf } from './disk-words';

function disk(storage_pool: string, base: string | null): VmDisk {
  return { name: 'disk0', storage_pool, volume: 'v', size_gb: 10, base } as VmDisk;
}

function pool(id: string, available_bytes: number, is_active = true): Pool {
  return { id, available_bytes, is_active } as Pool;
}

describe('the template of a linked clone', () => {
  const template = { id: 't', disks: [{ name: 'disk0', storage_pool: 'tank', volume: 'base' }] } as Template;

  it('has the volume it stands on, in the same pool', () => {
    expect(templateOf(disk('tank', 'base'), [template])).toBe(template);
    expect(templateOf(disk('local', 'base'), [template])).toBeUndefined();
    expect(templateOf(disk('tank', 'other'), [template])).toBeUndefined();
  });

  it('is none for a disk that stands by itself', () => {
    expect(templateOf(disk('tank', null), [template])).toBeUndefined();
  });
});

describe('pools to move to', () => {
  it('are the others that answer, the roomiest first', () => {
    const pools = [pool('own', 9), pool('small', 1), pool('away', 5, false), pool('big', 7)];
    expect(poolsFor(disk('own', null), pools).map((each) => each.id)).toEqual(['big', 'small']);
  });
});

describe('a new size', () => {
  it.each([
    ['11', true],
    ['10.5', true],
    ['10', false],
    ['9', false],
    ['', false],
    ['many', false],
    ['1e999', false],
  ])('of %j GiB for a disk of 10: %s', (text, isMore) => {
    expect(isGrowth(text, 10)).toBe(isMore);
  });

  it.each([
    [0.5, 5],
    [10, 15],
    [20, 30],
    [25, 30],
    [200, 250],
  ])('is proposed above %d GiB: %d', (now, proposed) => {
    expect(nextSize(now)).toBe(proposed);
  });
});
