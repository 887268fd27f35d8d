import { Label } from '@patternfly/react-core';
import { BanIcon, CheckCircleIcon, ClockIcon, ExclamationCircleIcon, InProgressIcon } from '@patternfly/react-icons';

import type { TaskState } from '../api/types';
import { m } from '../messages';

const LOOK = {
  queued: { color: 'grey', icon: <ClockIcon /> },
  running: { color: 'purple', icon: <InProgressIcon /> },
  completed: { color: 'green', icon: <CheckCircleIcon /> },
  failed: { color: 'red', icon: <ExclamationCircleIcon /> },
  cancelled: { color: 'grey', icon: <BanIcon /> },
} as const;

export function TaskLabel({ state }: { state: TaskState }) {
  const look = LOOK[state];
  return (
    <Label isCompact color={look.color} icon={look.icon}>
      {m.task.state[state]}
    </Label>
  );
}
