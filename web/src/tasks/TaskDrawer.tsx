import {
  EmptyState,
  EmptyStateBody,
  NotificationDrawer,
  NotificationDrawerBody,
  NotificationDrawerHeader,
} from '@patternfly/react-core';
import { ArrowLeftIcon } from '@patternfly/react-icons';
import { Link } from 'react-router';

import { useTasks } from '../api/queries';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { LinkButton } from '../ui/LinkButton';
import { TaskDetail } from './TaskDetail';
import { TaskRow } from './TaskRow';
import { useTaskAddress } from './address';

const SHOWN = 50;

/** What is being done and was done lately; one task with its log when the address names it. */
export default function TaskDrawer() {
  const { id, close, addressOf } = useTaskAddress();
  return (
    <NotificationDrawer aria-label={m.task.drawer}>
      <NotificationDrawerHeader title={m.task.drawer} onClose={close}>
        {id && (
          <LinkButton variant="link" icon={<ArrowLeftIcon />} to={addressOf(null)}>
            {m.task.all}
          </LinkButton>
        )}
      </NotificationDrawerHeader>
      <NotificationDrawerBody>
        <div className="horcrux-drawer-body">{id ? <TaskDetail key={id} id={id} /> : <LatestTasks />}</div>
      </NotificationDrawerBody>
    </NotificationDrawer>
  );
}

function LatestTasks() {
  const tasks = useTasks();
  return (
    <Answer query={tasks}>
      {(rows) =>
        rows.length === 0 ? (
          <EmptyState titleText={m.task.none} headingLevel="h2" variant="sm">
            <EmptyStateBody>{m.task.noneHow}</EmptyStateBody>
          </EmptyState>
        ) : (
          <>
            <ul>
              {rows.slice(0, SHOWN).map((task) => (
                <TaskRow key={task.id} task={task} />
              ))}
            </ul>
            <Link to="/tasks">{m.task.toRoom}</Link>
          </>
        )
      }
    </Answer>
  );
}
