import { describe, expect, it } from 'vitest';

import type { Snapshot } from '../api/types';
import { HERE, type Step, branchesOf, freeName, laterThan, newerThan } from './snapshot-tree';

function snapshot(name: string, created_at: number, parent: string | null, is_current = false): Snapshot {
  return {
    name,
    created_at,
    parent,
    is_current,
    description: '',
    has_memory: false,
    is_consistent: false,
    was_running: false,
    state: 'ready',
    size_bytes: null,
  };
}

/** Names only: a branch is a list, a step with sides is a list of its name and them. */
function drawn(branches: Step[][]): unknown[] {
  return branches.map((branch) =>
    branch.map((step) => {
      const name = step.what === HERE ? HERE : step.what.name;
      return step.sides.length > 0 ? [name, ...drawn(step.sides)] : name;
    }),
  );
}

describe('the tree of snapshots', () => {
  it('is empty without snapshots', () => {
    expect(branchesOf([])).toEqual([]);
  });

  it('is one branch for a chain, and the VM stands at its end', () => {
    const chain = [snapshot('c', 3, 'b', true), snapshot('a', 1, null), snapshot('b', 2, 'a')];
    expect(drawn(branchesOf(chain))).toEqual([['a', 'b', 'c', HERE]]);
  });

  it('sets aside what does not lead to where the VM stands', () => {
    const reverted = [snapshot('a', 1, null), snapshot('b', 2, 'a'), snapshot('c', 3, 'b'), snapshot('d', 4, 'a', true)];
    expect(drawn(branchesOf(reverted))).toEqual([[['a', ['b', 'c']], 'd', HERE]]);
  });

  it('has the newer snapshots as a side branch after a revert', () => {
    const reverted = [snapshot('a', 1, null, true), snapshot('b', 2, 'a')];
    expect(drawn(branchesOf(reverted))).toEqual([[['a', ['b']], HERE]]);
  });

  it('goes on along the newest child where the VM stands elsewhere', () => {
    const two = [snapshot('x', 1, null, true), snapshot('a', 2, null), snapshot('b', 3, 'a'), snapshot('c', 4, 'a')];
    expect(drawn(branchesOf(two))).toEqual([[['a', ['b']], 'c'], ['x', HERE]]);
  });

  it('has one that is being made at the end of the trunk', () => {
    const coming = { ...snapshot('c', 3, 'b'), state: 'creating' as const };
    expect(drawn(branchesOf([snapshot('a', 1, null), snapshot('b', 2, 'a', true), coming]))).toEqual([['a', 'b', 'c', HERE]]);
  });

  it('begins anew where a parent is gone, and stands apart where the VM stands on none', () => {
    expect(drawn(branchesOf([snapshot('b', 2, 'gone')]))).toEqual([['b'], [HERE]]);
  });

  it('holds every snapshot once', () => {
    const many = Array.from({ length: 200 }, (_, at) => snapshot(`s${at}`, at, at === 0 ? null : `s${Math.floor((at - 1) / 2)}`, at === 120));
    const names: string[] = [];
    const visit = (branches: Step[][]) => {
      for (const step of branches.flat()) {
        names.push(step.what === HERE ? HERE : step.what.name);
        visit(step.sides);
      }
    };
    visit(branchesOf(many));
    expect(names.sort()).toEqual([...many.map((each) => each.name), HERE].sort());
  });
});

describe('what stands on a snapshot', () => {
  it('is named with its descendants', () => {
    const tree = [snapshot('a', 1, null), snapshot('b', 2, 'a'), snapshot('c', 3, 'b'), snapshot('d', 4, 'a')];
    expect(newerThan('a', tree)).toEqual(['b', 'c', 'd']);
    expect(newerThan('c', tree)).toEqual([]);
  });

  it('is another matter than what was made later', () => {
    const tree = [snapshot('a', 1, null), snapshot('b', 2, 'a'), snapshot('c', 3, 'a')];
    expect(newerThan('b', tree)).toEqual([]);
    expect(laterThan(snapshot('b', 2, 'a'), tree)).toEqual(['c']);
  });
});

describe('the proposed name', () => {
  it('is the day, with a number when it is taken', () => {
    const day = new Date(2026, 2, 5);
    expect(freeName([], day)).toBe('s-2026-03-05');
    expect(freeName([snapshot('s-2026-03-05', 1, null)], day)).toBe('s-2026-03-05-2');
  });
});
