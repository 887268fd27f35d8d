import { Label, Spinner } from '@patternfly/react-core';
import { SortByDirection, Table, Tbody, Td, Th, Thead, type ThProps, Tr } from '@patternfly/react-table';
import { memo } from 'react';
import { Link } from 'react-router';

import type { VmListItem } from '../api/types';
import { m } from '../messages';
import { TaskLink } from '../tasks/TaskLink';
import { mebibytes } from '../ui/format';
import type { Asked } from './Ask';
import { StatusLabel } from './StatusLabel';
import { VmMenu } from './VmMenu';
import type { Choice, Column } from './select';

interface VmTableProps {
  rows: VmListItem[];
  choice: Choice;
  chosen: ReadonlySet<string>;
  setChosen: (change: (before: ReadonlySet<string>) => ReadonlySet<string>) => void;
  change: (changes: Record<string, string>) => void;
  ask: (asked: Asked) => void;
}

const COLUMNS: { column: Column; text: string }[] = [
  { column: 'name', text: m.vm.name },
  { column: 'status', text: m.vm.status },
  { column: 'cpu_cores', text: m.vm.cpu },
  { column: 'memory_mb', text: m.vm.memory },
  { column: 'node', text: m.vm.node },
];

export function VmTable({ rows, choice, chosen, setChosen, change, ask }: VmTableProps) {
  const sortOf = (column: Column, columnIndex: number): ThProps['sort'] => ({
    columnIndex,
    sortBy: {
      index: COLUMNS.findIndex((other) => other.column === choice.column),
      direction: choice.isDescending ? 'desc' : 'asc',
    },
    onSort: (_event, _index, direction) => change({ sort: direction === SortByDirection.desc ? `-${column}` : column, page: '' }),
  });
  return (
    <Table variant="compact" aria-label={m.vm.title}>
      <Thead>
        <Tr>
          <Th screenReaderText={m.vm.selectAll} />
          {COLUMNS.map(({ column, text }, index) => (
            <Th key={column} sort={sortOf(column, index)} modifier="nowrap">
              {text}
            </Th>
          ))}
          <Th>{m.vm.tags}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {rows.map((vm) => (
          <Row key={vm.id} vm={vm} isChosen={chosen.has(vm.id)} setChosen={setChosen} change={change} ask={ask} />
        ))}
      </Tbody>
    </Table>
  );
}

type RowProps = Pick<VmTableProps, 'setChosen' | 'change' | 'ask'> & { vm: VmListItem; isChosen: boolean };

const Row = memo(function Row({ vm, isChosen, setChosen, change, ask }: RowProps) {
  const choose = (isSelecting: boolean) =>
    setChosen((before) => {
      const after = new Set(before);
      if (isSelecting) after.add(vm.id);
      else after.delete(vm.id);
      return after;
    });
  return (
    <Tr isRowSelected={isChosen}>
      <Td select={{ rowIndex: 0, isSelected: isChosen, onSelect: (_event, value) => choose(value) }} />
      <Td dataLabel={m.vm.name}>
        <Link to={`/vms/${encodeURIComponent(vm.id)}`}>{vm.name}</Link>
        {vm.name !== vm.id && <div className="horcrux-quiet">{vm.id}</div>}
      </Td>
      <Td dataLabel={m.vm.status}>
        <span className="horcrux-line">
          <StatusLabel status={vm.status} />
          {vm.operation && (
            <TaskLink id={vm.operation}>
              <Spinner size="md" aria-label={m.vm.busyNow} />
            </TaskLink>
          )}
        </span>
      </Td>
      <Td dataLabel={m.vm.cpu} className="horcrux-number">
        {vm.cpu_cores}
      </Td>
      <Td dataLabel={m.vm.memory} className="horcrux-number">
        {mebibytes(vm.memory_mb)}
      </Td>
      <Td dataLabel={m.vm.node}>{vm.node}</Td>
      <Td dataLabel={m.vm.tags}>
        <span className="horcrux-line">
          {vm.tags.map((tag) => (
            <Label key={tag} isCompact variant="outline" onClick={() => change({ tag, page: '' })}>
              {tag}
            </Label>
          ))}
        </span>
      </Td>
      <Td isActionCell>
        <VmMenu vm={vm} ask={ask} isPlain />
      </Td>
    </Tr>
  );
});
