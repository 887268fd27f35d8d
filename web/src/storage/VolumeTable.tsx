import { Button, EmptyState, EmptyStateBody } from '@patternfly/react-core';
import { AngleDownIcon, AngleRightIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useState } from 'react';
import { Link } from 'react-router';

import { useVolumeSnapshots } from '../api/queries';
import type { Volume } from '../api/types';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { RowMenu } from '../ui/RowMenu';
import { ago, bytes, moment } from '../ui/format';
import { useNow } from '../ui/now';
import { type VolumeRow, rowsOf } from './volume-tree';

export interface AskedVolume {
  what: 'resize' | 'delete';
  volume: Volume;
}

interface VolumeTableProps {
  volumes: Volume[];
  hasSnapshots: boolean;
  ask: (asked: AskedVolume) => void;
  mayWrite: boolean;
}

const COLUMNS = 6;

/** A tree: linked clones stand beneath their base, and a volume's snapshots beneath it once they are asked for. */
export function VolumeTable({ volumes, hasSnapshots, ask, mayWrite }: VolumeTableProps) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  if (volumes.length === 0) {
    return (
      <EmptyState titleText={m.storage.noVolumes} headingLevel="h2" variant="sm">
        <EmptyStateBody>{m.storage.noVolumesHow}</EmptyStateBody>
      </EmptyState>
    );
  }
  const toggle = (name: string) =>
    setOpen((before) => {
      const after = new Set(before);
      if (!after.delete(name)) after.add(name);
      return after;
    });
  return (
    <Table variant="compact" aria-label={m.storage.volumes}>
      <Thead>
        <Tr>
          <Th>{m.storage.name}</Th>
          <Th>{m.storage.format}</Th>
          <Th>{m.storage.capacity}</Th>
          <Th>{m.storage.allocated}</Th>
          <Th>{m.storage.usedBy}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {rowsOf(volumes).map((row) => {
          const { name } = row.volume;
          const isOpen = open.has(name);
          return [
            <Row
              key={name}
              row={row}
              isOpen={isOpen}
              toggle={hasSnapshots ? () => toggle(name) : undefined}
              ask={ask}
              mayWrite={mayWrite}
            />,
            isOpen && <SnapshotRow key={`${name}/snapshots`} row={row} />,
          ];
        })}
      </Tbody>
    </Table>
  );
}

interface RowProps {
  row: VolumeRow;
  isOpen: boolean;
  /** Absent where volumes have no snapshots. */
  toggle?: () => void;
  ask: VolumeTableProps['ask'];
  mayWrite: boolean;
}

function Row({ row, isOpen, toggle, ask, mayWrite }: RowProps) {
  const { volume } = row;
  return (
    <Tr>
      <Td dataLabel={m.storage.name}>
        <Name row={row} isOpen={isOpen} toggle={toggle} />
      </Td>
      <Td dataLabel={m.storage.format}>{volume.format}</Td>
      <Td dataLabel={m.storage.capacity} modifier="nowrap" className="horcrux-number">
        {bytes(volume.capacity_bytes)}
      </Td>
      <Td dataLabel={m.storage.allocated} modifier="nowrap" className="horcrux-number">
        {bytes(volume.allocation_bytes)}
      </Td>
      <Td dataLabel={m.storage.usedBy}>
        <UsedBy volume={volume} />
      </Td>
      <Td isActionCell>
        <RowMenu
          isDisabled={!mayWrite}
          label={m.storage.actionsOf(volume.name)}
          actions={[
            { title: m.storage.resize, run: () => ask({ what: 'resize', volume }) },
            { title: m.storage.remove, isDanger: true, run: () => ask({ what: 'delete', volume }) },
          ]}
        />
      </Td>
    </Tr>
  );
}

function Name({ row, isOpen, toggle }: Pick<RowProps, 'row' | 'isOpen' | 'toggle'>) {
  const { volume, level, clones } = row;
  return (
    <div className={level > 1 ? 'horcrux-leaf horcrux-below' : 'horcrux-leaf'} style={indent(level)}>
      {toggle && (
        <Button
          variant="plain"
          size="sm"
          hasNoPadding
          aria-expanded={isOpen}
          aria-label={m.storage.showSnapshots(volume.name)}
          icon={isOpen ? <AngleDownIcon /> : <AngleRightIcon />}
          onClick={toggle}
        />
      )}
      <div>
        <span className="horcrux-mono horcrux-wrap">{volume.name}</span>
        {clones > 0 && <div className="horcrux-quiet">{m.storage.linkedClones(clones)}</div>}
        {volume.base && <div className={level > 1 ? 'pf-v6-screen-reader' : 'horcrux-quiet'}>{m.disk.linkedOf(volume.base)}</div>}
      </div>
    </div>
  );
}

function indent(level: number) {
  return { paddingInlineStart: `${(level - 1) * 1.4}rem` };
}

function UsedBy({ volume: { used_by: use, replica_of: source } }: { volume: Volume }) {
  if (use?.vm_id) return <Link to={`/vms/${encodeURIComponent(use.vm_id)}`}>{use.vm_id}</Link>;
  if (use?.template) {
    return (
      <span>
        {m.storage.template} <Link to={`/templates/${encodeURIComponent(use.template)}`}>{use.template}</Link>
      </span>
    );
  }
  return <span className="horcrux-quiet">{source ? m.storage.replicaOf(source) : m.storage.unused}</span>;
}

function SnapshotRow({ row: { volume, level } }: { row: VolumeRow }) {
  const snapshots = useVolumeSnapshots(volume.pool, volume.name);
  const now = useNow();
  return (
    <Tr>
      <Td colSpan={COLUMNS} dataLabel={m.snapshot.title}>
        <div style={indent(level + 1)}>
          <Answer query={snapshots}>
            {(rows) =>
              rows.length === 0 ? (
                <span className="horcrux-quiet">{m.storage.noSnapshots}</span>
              ) : (
                <ul className="horcrux-stack" aria-label={m.storage.showSnapshots(volume.name)}>
                  {rows.map((snapshot) => (
                    <li key={snapshot.name} className="horcrux-line">
                      <span className="horcrux-mono horcrux-wrap">{snapshot.name}</span>
                      <span className="horcrux-quiet horcrux-number" title={moment(snapshot.created_at)}>
                        {ago(snapshot.created_at, now)}
                        {snapshot.used_bytes !== null && ` · ${m.storage.usedAtLeast(bytes(snapshot.used_bytes))}`}
                      </span>
                    </li>
                  ))}
                </ul>
              )
            }
          </Answer>
        </div>
      </Td>
    </Tr>
  );
}
