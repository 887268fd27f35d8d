/** The questions before a snapshot is reverted to or deleted. */

import { Alert, Radio } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { usePools, vmPath } from '../api/queries';
import type { Snapshot, VmView } from '../api/types';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import Confirm from '../ui/Confirm';
import { moment } from '../ui/format';
import { hasScreen } from './power';
import { laterThan, newerThan } from './snapshot-tree';

const STARTS = { as: null, on: true, off: false } as const;
type Start = keyof typeof STARTS;

interface RevertProps {
  vm: VmView;
  snapshot: Snapshot;
  snapshots: Snapshot[];
  close: () => void;
}

export function RevertSnapshot({ vm, snapshot, snapshots, close }: RevertProps) {
  const watch = useWatch();
  const [starts, setStarts] = useState<Start>('as');
  const current = snapshots.find((each) => each.is_current);
  const pools = usePools().data ?? [];
  const isOnZfs = vm.disks.some((disk) => pools.find((pool) => pool.id === disk.storage_pool)?.storage_type === 'zfs');
  const newer = isOnZfs ? laterThan(snapshot, snapshots) : newerThan(snapshot.name, snapshots);
  const run = async () => {
    const body = { start: STARTS[starts] };
    const task = await start('POST', `${snapshotPath(vm.id, snapshot.name)}/revert`, { body });
    if (task) watch(task);
  };
  return (
    <Confirm title={m.snapshot.revertTitle(vm.name, snapshot.name)} action={m.snapshot.revert} isDanger run={run} close={close}>
      <div className="horcrux-stack">
        <p>{m.snapshot.lost(current ? `${current.name} (${moment(current.created_at)})` : null)}</p>
        {hasScreen(vm.status) && <p>{m.snapshot.lostRunning}</p>}
        <p>{m.snapshot.lostHow}</p>
        {newer.length > 0 && (isOnZfs ? <Alert isInline isPlain variant="warning" title={m.snapshot.newerZfs(newer)} /> : <p>{m.snapshot.newer(newer)}</p>)}
        <fieldset className="horcrux-stack">
          <legend className="horcrux-legend">{m.snapshot.afterwards}</legend>
          {(Object.keys(STARTS) as Start[]).map((each) => (
            <Radio
              key={each}
              id={`revert-${each}`}
              name="revert-start"
              label={m.snapshot.starts[each]}
              description={each === 'as' ? (snapshot.was_running ? m.snapshot.wasOn : m.snapshot.wasOff) : undefined}
              isChecked={starts === each}
              onChange={() => setStarts(each)}
            />
          ))}
        </fieldset>
      </div>
    </Confirm>
  );
}

export function DeleteSnapshot({ vm, snapshot, close }: Omit<RevertProps, 'snapshots'>) {
  const watch = useWatch();
  const run = async () => {
    const task = await start('DELETE', snapshotPath(vm.id, snapshot.name));
    if (task) watch(task);
  };
  return (
    <Confirm title={m.snapshot.deleteTitle(snapshot.name)} action={m.snapshot.delete} isDanger run={run} close={close}>
      <p>{m.snapshot.deleteBody}</p>
    </Confirm>
  );
}

function snapshotPath(vm: string, name: string): string {
  return `${vmPath(vm)}/snapshots/${encodeURIComponent(name)}`;
}
