import { describe, expect, it } from 'vitest';

import type { Pool, Template } from '../api/types';
import { canLink, freeId } from './clone-words';

describe('the id proposed for a clone', () => {
  it.each([
    ['debian', [], 'debian-1'],
    ['debian', ['debian-1', 'debian-3'], 'debian-2'],
    ['tmpl-web', [], 'web-1'],
    ['tmpl-100', ['vm-100-1'], 'vm-100-2'],
    ['tmpl-', [], 'tmpl--1'],
  ])('of %s beside %j is %s', (template, taken, id) => {
    expect(freeId(template, taken)).toBe(id);
  });
});

describe('linked clones', () => {
  const template = { disks: [{ storage_pool: 'a' }, { storage_pool: 'b' }] } as Template;

  it('need every pool of the template to make them', () => {
    const pools = (a: boolean, b: boolean) => [{ id: 'a', can_clone: a }, { id: 'b', can_clone: b }] as Pool[];
    expect(canLink(template, pools(true, true))).toBe(true);
    expect(canLink(template, pools(true, false))).toBe(false);
  });

  it('are offered where a pool is not known', () => {
    expect(canLink(template, [])).toBe(true);
  });
});
