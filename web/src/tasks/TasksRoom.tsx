import { PageSection, ToggleGroup, ToggleGroupItem, Toolbar, ToolbarContent, ToolbarItem } from '@patternfly/react-core';
import { useSearchParams } from 'react-router';

import { useTasks } from '../api/queries';
import type { Task, TaskState } from '../api/types';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { Filter } from '../ui/Filter';
import { Room } from '../ui/Room';
import { TaskTable } from './TaskTable';
import { titleOf } from './words';

const STATES: TaskState[] = ['running', 'failed', 'completed', 'cancelled'];

export default function TasksRoom() {
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
              <Filter label={m.task.filter} value={text} change={(value) => set('q', value)} />
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
