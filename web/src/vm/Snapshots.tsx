import { Button, EmptyState, EmptyStateBody, Label, Spinner } from '@patternfly/react-core';
import { CameraIcon, MapMarkerAltIcon, MemoryIcon } from '@patternfly/react-icons';
import { useState } from 'react';

import { useSnapshots } from '../api/queries';
import type { Snapshot, VmView } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { Intro } from '../ui/Intro';
import { RowMenu } from '../ui/RowMenu';
import { ago, bytes, moment } from '../ui/format';
import { useNow } from '../ui/now';
import { NewSnapshot } from './NewSnapshot';
import { DeleteSnapshot, RevertSnapshot } from './SnapshotAsk';
import { HERE, type Step, branchesOf } from './snapshot-tree';

interface Asked {
  what: 'revert' | 'delete';
  snapshot: Snapshot;
}

type Ask = (asked: Asked) => void;

export default function Snapshots({ vm }: { vm: VmView }) {
  const snapshots = useSnapshots(vm.id);
  const [isCreating, setIsCreating] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  const reason = useReason(vm);
  const rows = snapshots.data ?? [];
  return (
    <>
      <Intro text={m.snapshot.intro}>
        <Button
          icon={<CameraIcon />}
          isAriaDisabled={reason !== ''}
          title={reason || undefined}
          onClick={() => setIsCreating(true)}
        >
          {m.snapshot.create}
        </Button>
      </Intro>
      <Answer query={snapshots}>{(list) => <Tree snapshots={list} reason={reason} ask={setAsked} />}</Answer>
      {isCreating && <NewSnapshot vm={vm} snapshots={rows} close={() => setIsCreating(false)} />}
      {asked?.what === 'revert' && <RevertSnapshot vm={vm} snapshot={asked.snapshot} snapshots={rows} close={close} />}
      {asked?.what === 'delete' && <DeleteSnapshot vm={vm} snapshot={asked.snapshot} close={close} />}
    </>
  );
}

/** Why no snapshot of it can be made, reverted to or deleted now; empty when they can. */
function useReason(vm: VmView): string {
  const { may } = useSession();
  if (!may('vm.write')) return m.vm.noRight;
  if (vm.operation) return m.vm.busyNow;
  return vm.status === 'unknown' ? m.vm.notWhile(m.vm.state.unknown) : '';
}

interface TreeProps {
  snapshots: Snapshot[];
  reason: string;
  ask: Ask;
}

function Tree({ snapshots, reason, ask }: TreeProps) {
  const now = useNow();
  if (snapshots.length === 0) {
    return (
      <EmptyState titleText={m.snapshot.none} headingLevel="h2" variant="sm" icon={CameraIcon}>
        <EmptyStateBody>{m.snapshot.noneHow}</EmptyStateBody>
      </EmptyState>
    );
  }
  return branchesOf(snapshots).map((branch, at) => (
    <Branch key={at} steps={branch} label={m.snapshot.title} now={now} reason={reason} ask={ask} />
  ));
}

interface BranchProps {
  steps: Step[];
  label: string;
  now: number;
  reason: string;
  ask: Ask;
  isSide?: boolean;
}

/** A chain from older to newer; what departs from it stands indented beneath the step it departs from. */
function Branch({ steps, label, isSide, ...rest }: BranchProps) {
  return (
    <ul className={isSide ? 'horcrux-tree horcrux-side' : 'horcrux-tree'} aria-label={label}>
      {steps.map(({ what, sides }) =>
        what === HERE ? (
          <Here key={HERE} />
        ) : (
          <li key={what.name}>
            <SnapshotRow snapshot={what} {...rest} />
            {sides.map((side, at) => (
              <Branch key={at} steps={side} label={m.snapshot.after(what.name)} isSide {...rest} />
            ))}
          </li>
        ),
      )}
    </ul>
  );
}

function Here() {
  return (
    <li className="horcrux-here">
      <div className="horcrux-line">
        <Label color="purple" variant="filled" icon={<MapMarkerAltIcon />}>
          {m.snapshot.here}
        </Label>
        <span className="horcrux-quiet">{m.snapshot.hereHelp}</span>
      </div>
    </li>
  );
}

interface RowProps {
  snapshot: Snapshot;
  now: number;
  reason: string;
  ask: Ask;
}

function SnapshotRow({ snapshot, now, reason, ask }: RowProps) {
  const size = snapshot.size_bytes === null ? null : m.snapshot.size(bytes(snapshot.size_bytes));
  const isReady = snapshot.state === 'ready';
    return (
    <div className="horcrux-step">
      <div>
        <div className="horcrux-line">
          <strong className="horcrux-wrap">{snapshot.name}</strong>
          {isReady ? <Labels snapshot={snapshot} /> : <State snapshot={snapshot} />}
        </div>
        {snapshot.description && <div className="horcrux-notes horcrux-wrap">{snapshot.description}</div>}
        <div className="horcrux-quiet horcrux-number">
          <time dateTime={new Date(snapshot.created_at * 1000).toISOString()} title={moment(snapshot.created_at)}>
            {ago(snapshot.created_at, now)}
          </time>
          {size && ` · ${size}`}
        </div>
      </div>
      <RowMenu
        isDisabled={!isReady}
        label={m.snapshot.actionsOf(snapshot.name)}
        actions={[
          { title: m.snapshot.revert, run: () => ask({ what: 'revert', snapshot }), reason },
          { title: m.snapshot.delete, isDanger: true, run: () => ask({ what: 'delete', snapshot }), reason },
        ]}
      />
    </div>
  );
}

function State({ snapshot }: { snapshot: Snapshot }) {
  return (
    <Label isCompact color={snapshot.state === 'deleting' ? 'orange' : 'purple'} icon={<Spinner size="sm" isInline aria-hidden />}>
      {m.snapshot.state[snapshot.state]}
    </Label>
  );
}

function Labels({ snapshot }: { snapshot: Snapshot }) {
  const isRough = snapshot.was_running && !snapshot.has_memory && !snapshot.is_consistent;
  return (
    <>
      {snapshot.has_memory && (
        <Label isCompact color="blue" icon={<MemoryIcon />} title={m.snapshot.memoryHelp}>
          {m.snapshot.memory}
        </Label>
      )}
      {snapshot.is_consistent && (
        <Label isCompact color="green" title={m.snapshot.consistentHelp}>
          {m.snapshot.consistent}
        </Label>
      )}
      {isRough && (
        <Label isCompact color="grey" title={m.snapshot.crashHelp}>
          {m.snapshot.crash}
        </Label>
      )}
    </>
  );
}
