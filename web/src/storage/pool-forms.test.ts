import { describe, expect, it } from 'vitest';

import type { FoundPool, PoolType } from '../api/types';
import { fieldsOf, formOf, isComplete, offersOf, optionsOf } from './pool-forms';

describe('the form of a pool', () => {
  it('sends only options of its type that were filled in', () => {
    const typed = { monitors: ' a, b ', user: '', portal: 'left over' };
    expect(optionsOf(formOf('rbd'), typed)).toEqual({ monitors: 'a, b' });
    expect(optionsOf(formOf('dir'), typed)).toEqual({});
  });

  it('asks for a key only with encryption, and sends none without', () => {
    const keys = (typed: Record<string, string>) => fieldsOf(formOf('zfs'), typed).map((field) => field.key);
    expect(keys({})).not.toContain('key_file');
    expect(keys({ encryption: 'aes-256-gcm' })).toContain('key_file');
    expect(optionsOf(formOf('zfs'), { encryption: '', key_file: '/root/key' })).toEqual({});
  });

  it('is complete with an id, a target and every option that is needed', () => {
    expect(isComplete(formOf('dir'), 'a', '/srv/a', {})).toBe(true);
    expect(isComplete(formOf('dir'), '', '/srv/a', {})).toBe(false);
    expect(isComplete(formOf('dir'), 'a', ' ', {})).toBe(false);
    expect(isComplete(formOf('iscsi'), 'a', 'iqn.x', { portal: ' ' })).toBe(false);
    expect(isComplete(formOf('iscsi'), 'a', 'iqn.x', { portal: 'host' })).toBe(true);
  });

  it('is offered what the host has and no pool stands on', () => {
    const found = (storage_type: PoolType, target: string, pool: string | null) => ({ storage_type, target, pool }) as FoundPool;
    const all = [found('zfs', 'tank', null), found('zfs', 'used', 'p'), found('lvm', 'vg0', null)];
    expect(offersOf('zfs', all).map((each) => each.target)).toEqual(['tank']);
    expect(offersOf('lvm', all).map((each) => each.target)).toEqual(['vg0']);
  });
});
