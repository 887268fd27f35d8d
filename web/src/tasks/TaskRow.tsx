import { Progress, ProgressSize } from '@patternfly/react-core';
import { Link } from 'react-router';

import type { Task } from '../api/types';
import { m } from '../messages';
import { ago, percent } from '../ui/format';
import { useNow } from '../ui/now';
import { TaskLabel } from './TaskLabel';
import { useTaskAddress } from './address';
import { isFinal, titleOf } from './words';

/** One task in a list: what, how far, who and when. */
export function TaskRow({ task }: { task: Task }) {
  const { addressOf } = useTaskAddress();
  const now = useNow();
  return (
    <li className="horcrux-task">
      <div className="horcrux-line horcrux-between">
        <Link to={addressOf(task.id)} className="horcrux-wrap">
          {titleOf(task)}
        </Link>
        <TaskLabel state={task.state} />
      </div>
      {task.state === 'running' && <TaskProgress task={task} />}
      {task.state === 'failed' && task.error && <div className="horcrux-wrap">{task.error}</div>}
      <div className="horcrux-quiet">{m.task.byWhen(task.user, ago(task.finished_at ?? task.created_at, now))}</div>
    </li>
  );
}

export function TaskProgress({ task }: { task: Task }) {
  if (isFinal(task)) return null;
  return (
    <Progress
      size={ProgressSize.sm}
      value={task.progress * 100}
      title={task.stage || m.task.state[task.state]}
      label={percent(task.progress)}
      aria-label={titleOf(task)}
    />
  );
}
