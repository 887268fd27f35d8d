import { describe, expect, it } from 'vitest';

import type { VmListItem } from '../api/types';
import { choiceOf, pageOf, select } from './select';

function vm(id: string, change: Partial<VmListItem> = {}): VmListItem {
  return {
    id,
    name: id,
    status: 'stopped',
    cpu_cores: 1,
    memory_mb: 1024,
    architecture: 'x86_64',
    node: 'n1',
    tags: [],
    operation: null,
    revision: 1,
    ...change,
  };
}

const all = [vm('vm-10', { tags: ['web'] }), vm('vm-9', { status: 'running' }), vm('vm-2', { name: 'Mail', cpu_cores: 4 })];
const chosen = (query: string) => select(all, choiceOf(new URLSearchParams(query))).map((each) => each.id);

describe('the list of machines', () => {
  it('is ordered as people count', () => {
    expect(chosen('')).toEqual(['vm-2', 'vm-9', 'vm-10']);
    expect(chosen('sort=-name')).toEqual(['vm-10', 'vm-9', 'vm-2']);
    expect(chosen('sort=-cpu_cores')[0]).toBe('vm-2');
  });

  it('is filtered by name, id and tag whatever their case, by status and by tag', () => {
    expect(chosen('q=mail')).toEqual(['vm-2']);
    expect(chosen('q=WEB')).toEqual(['vm-10']);
    expect(chosen('status=running')).toEqual(['vm-9']);
    expect(chosen('tag=web')).toEqual(['vm-10']);
  });

  it('falls back to sense for an address that was tampered with', () => {
    const choice = choiceOf(new URLSearchParams('sort=__proto__&page=-3&per=x'));
    expect([choice.column, choice.page, choice.perPage]).toEqual(['name', 1, 50]);
  });

  it('shows the last page when there are not so many', () => {
    expect(pageOf([1, 2, 3], 9, 2)).toEqual({ rows: [3], page: 2 });
    expect(pageOf([], 1, 2)).toEqual({ rows: [], page: 1 });
  });
});
