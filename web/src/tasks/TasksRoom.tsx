import { PageSection, SearchInput, ToggleGroup, ToggleGroupItem, Toolbar, ToolbarContent, ToolbarItem } from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useSearchParams } from 'react-router';

import { useTasks } from '../api/queries';
import type { Task, TaskState } from '../api/types';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { Room } from '../ui/Room';
import { ago, duration, percent } from '../ui/format';
import { useNow } from '../ui/now';
import { TargetLink } from './TargetLink';
import { TaskLabel } from './TaskLabel';
import { TaskLink } from './TaskLink';
import { titleOf } from './words';

const STATES: TaskState[] = ['running', 'failed', 'completed', 'cancelled'];

export function TasksRoom() {
  const tasks = useTasks();
  const [query, setQuery] = useSearchParams();
  const text = query.get('q') ?? '';
  const state = query.get('state');
  const set = (name: string, value: string) =>
    setQuery(
      (before) => {
        if (value) before.set(name, value);
        else before.delete(name);
        return before;
      },
      { replace: true },
    );
  return (
    <Room title={m.task.room} intro={m.task.roomIntro}>
      <PageSection hasBodyWrapper={false}>
        <Toolbar>
          <ToolbarContent>
            <ToolbarItem>
              <SearchInput
                aria-label={m.task.filter}
                placeholder={m.task.filter}
                value={text}
                onChange={(_event, value) => set('q', value)}
                onClear={() => set('q', '')}
              />
            </ToolbarItem>
            <ToolbarItem>
              <ToggleGroup aria-label={m.task.byState} isCompact>
                {STATES.map((each) => (
                  <ToggleGroupItem
                    key={each}
                    text={m.task.state[each]}
                    buttonId={`state-${each}`}
                    isSelected={state === each}
                    onChange={() => set('state', state === each ? '' : each)}
                  />
                ))}
              </ToggleGroup>
            </ToolbarItem>
          </ToolbarContent>
        </Toolbar>
        <Answer query={tasks}>
          {(rows) => <TaskTable tasks={rows.filter((task) => fits(task, text, state))} />}
        </Answer>
      </PageSection>
    </Room>
  );
}

function fits(task: Task, text: string, state: string | null): boolean {
  if (state && task.state !== state) return false;
  return `${titleOf(task)} ${task.target} ${task.user} ${task.id}`.toLowerCase().includes(text.toLowerCase());
}

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
