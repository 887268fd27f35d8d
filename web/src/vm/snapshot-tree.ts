/** Snapshots of a VM as branches: pure, so that it can be tested without a page.
 *
 * A chain is one branch, however long, so that the tree of a year of nightly snapshots does not lean off the page; only what
 * departs from it is indented. The branch that leads to where the VM stands now is the trunk.
 */

import type { Snapshot } from '../api/types';

/** The VM as it is now; it stands at the end of the trunk. */
export const HERE = 'here';

export interface Step {
  what: Snapshot | typeof HERE;
  /** Branches that depart here and do not lead on along this one; older ones first. */
  sides: Step[][];
}

/** The branches that begin from no snapshot: several when the first ones were deleted. The trunk is the last of them. */
export function branchesOf(snapshots: readonly Snapshot[]): Step[][] {
  if (snapshots.length === 0) return [];
  const names = new Set(snapshots.map((snapshot) => snapshot.name));
  const children = new Map<string | null, Snapshot[]>();
  for (const snapshot of byAge(snapshots)) {
    const parent = snapshot.parent !== null && names.has(snapshot.parent) ? snapshot.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), snapshot]);
  }
  const current = standsOn(snapshots);
  const trunk = wayTo(current, snapshots);
  const roots = children.get(null) ?? [];
  const branches = [...roots.filter((root) => !trunk.has(root.name)), ...roots.filter((root) => trunk.has(root.name))].map(
    (root) => branchFrom(root, children, trunk, current),
  );
  return current === null ? [...branches, [{ what: HERE, sides: [] }]] : branches;
}

/** One that is just being made is where the VM will stand, so that the trunk does not jump when it is ready. */
function standsOn(snapshots: readonly Snapshot[]): string | null {
  const now = snapshots.find((snapshot) => snapshot.is_current)?.name ?? null;
  const coming = snapshots.find((snapshot) => snapshot.state === 'creating' && snapshot.parent === now);
  return coming?.name ?? now;
}

function branchFrom(
  first: Snapshot,
  children: ReadonlyMap<string | null, Snapshot[]>,
  trunk: ReadonlySet<string>,
  current: string | null,
): Step[] {
  const steps: Step[] = [];
  let snapshot: Snapshot | undefined = first;
  while (snapshot) {
    const next: Snapshot[] = children.get(snapshot.name) ?? [];
    const isEnd: boolean = snapshot.name === current;
    const onward: Snapshot | undefined = isEnd ? undefined : (next.find((each) => trunk.has(each.name)) ?? next.at(-1));
    const sides = next.filter((each) => each !== onward).map((each) => branchFrom(each, children, trunk, current));
    steps.push({ what: snapshot, sides });
    if (isEnd) steps.push({ what: HERE, sides: [] });
    snapshot = onward;
  }
  return steps;
}

/** Names from `name` up to its oldest ancestor. */
function wayTo(name: string | null, snapshots: readonly Snapshot[]): Set<string> {
  const parents = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot.parent]));
  const way = new Set<string>();
  for (let at = name; at !== null && parents.has(at) && !way.has(at); at = parents.get(at) ?? null) way.add(at);
  return way;
}

function byAge(snapshots: readonly Snapshot[]): Snapshot[] {
  return [...snapshots].sort((a, b) => a.created_at - b.created_at || a.name.localeCompare(b.name));
}

/** Names of the snapshots that stand on `name`, however far. */
export function newerThan(name: string, snapshots: readonly Snapshot[]): string[] {
  const found: string[] = [];
  const visit = (parent: string) => {
    for (const child of byAge(snapshots)) {
      if (child.parent !== parent || found.includes(child.name) || child.name === name) continue;
      found.push(child.name);
      visit(child.name);
    }
  };
  visit(name);
  return found;
}

/** Names of all that were made after it, whatever they stand on. */
export function laterThan(snapshot: Snapshot, snapshots: readonly Snapshot[]): string[] {
  return byAge(snapshots)
    .filter((each) => each.created_at > snapshot.created_at)
    .map((each) => each.name);
}

/** What the console proposes: the day, and a number when there is one of that day. */
export function freeName(snapshots: readonly Snapshot[], now: Date): string {
  const day = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, '0')).join('-');
  const taken = new Set(snapshots.map((snapshot) => snapshot.name));
  for (let count = 1; ; count += 1) {
    const name = count === 1 ? `s-${day}` : `s-${day}-${count}`;
    if (!taken.has(name)) return name;
  }
}
