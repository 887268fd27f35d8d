import { describe, expect, it } from 'vitest';

import { Recent, apply } from './patch';
import type { StreamEvent } from './stream';

interface Row {
  id: string;
  n: number;
}

const keyOf = (row: Row) => row.id;
const event = (id: string, n: number | null): StreamEvent => ({ kind: 'vm', id, at: 0, data: n === null ? null : { id, n } });

describe('an event applied to a list', () => {
  const rows: Row[] = [
    { id: 'a', n: 1 },
    { id: 'b', n: 2 },
  ];

  it('replaces the row it is about where it stands', () => {
    expect(apply(rows, event('a', 9), keyOf)).toEqual([{ id: 'a', n: 9 }, rows[1]]);
  });

  it('adds a row that was not there, at the end or at the front', () => {
    expect(apply(rows, event('c', 3), keyOf).map(keyOf)).toEqual(['a', 'b', 'c']);
    expect(apply(rows, event('c', 3), keyOf, true).map(keyOf)).toEqual(['c', 'a', 'b']);
  });

  it('takes a row away when the object is gone', () => {
    expect(apply(rows, event('a', null), keyOf)).toEqual([rows[1]]);
  });

  it('leaves the list it was given as it was', () => {
    apply(rows, event('a', 9), keyOf);
    expect(rows[0]).toEqual({ id: 'a', n: 1 });
  });
});

describe('recent events', () => {
  it('tell what came after a mark, of one kind', () => {
    const recent = new Recent();
    recent.add(event('a', 1));
    const mark = recent.mark();
    recent.add(event('b', 2));
    recent.add({ ...event('c', 3), kind: 'task' });
    expect(recent.since(mark, 'vm').map((each) => each.id)).toEqual(['b']);
  });

  it('keep their marks when old ones are dropped', () => {
    const recent = new Recent(4);
    for (let n = 0; n < 4; n += 1) recent.add(event(`old-${n}`, n));
    const mark = recent.mark();
    recent.add(event('new', 9));
    expect(recent.since(mark, 'vm').map((each) => each.id)).toEqual(['new']);
  });
});
