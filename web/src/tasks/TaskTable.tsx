import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';

import type { Task } from '../api/types';
import { m } from '../messages';
import { ago, duration, percent } from '../ui/format';
import { useNow } from '../ui/now';
import { TargetLink } from './TargetLink';
import { TaskLabel } from './TaskLabel';
import { TaskLink } from './TaskLink';
import { titleOf } from './words';

export function TaskTable({ tasks }: { tasks: Task[] }) {
  const now = useNow();
  if (tasks.length === 0) return <p className="horcrux-quiet">{m.task.none}</p>;
  return (
    <Table variant="compact" aria-label={m.task.room}>
      <Thead>
        <Tr>
          <Th>{m.task.what}</Th>
          <Th>{m.task.target}</Th>
          <Th>{m.task.stateHead}</Th>
          <Th>{m.task.who}</Th>
          <Th>{m.task.began}</Th>
          <Th>{m.task.took}</Th>
        </Tr>
      </Thead>
      <Tbody>
        {tasks.map((task) => (
          <Tr key={task.id}>
            <Td dataLabel={m.task.what}>
              <TaskLink id={task.id}>{titleOf(task)}</TaskLink>
              {task.error && <div className="horcrux-quiet">{task.error}</div>}
            </Td>
            <Td dataLabel={m.task.target}>
              <TargetLink target={task.target} />
            </Td>
            <Td dataLabel={m.task.stateHead}>
              <span className="horcrux-line">
                <TaskLabel state={task.state} />
                {task.state === 'running' && <span className="horcrux-number">{percent(task.progress)}</span>}
              </span>
            </Td>
            <Td dataLabel={m.task.who}>{task.user}</Td>
            <Td dataLabel={m.task.began}>{ago(task.started_at ?? task.created_at, now)}</Td>
            <Td dataLabel={m.task.took}>{tookOf(task)}</Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function tookOf(task: Task): string {
  return task.finished_at && task.started_at ? duration(task.finished_at - task.started_at) : '–';
}
