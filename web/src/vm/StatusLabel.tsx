import { Label } from '@patternfly/react-core';
import {
  BanIcon,
  ExclamationCircleIcon,
  InProgressIcon,
  OffIcon,
  PauseCircleIcon,
  PlayIcon,
  QuestionCircleIcon,
} from '@patternfly/react-icons';

import type { RunState } from '../api/types';
import { m } from '../messages';

const LOOK = {
  running: { color: 'green', icon: <PlayIcon /> },
  paused: { color: 'yellow', icon: <PauseCircleIcon /> },
  stopped: { color: 'grey', icon: <OffIcon /> },
  stopping: { color: 'orange', icon: <InProgressIcon /> },
  creating: { color: 'purple', icon: <InProgressIcon /> },
  reverting: { color: 'purple', icon: <InProgressIcon /> },
  deleting: { color: 'orange', icon: <BanIcon /> },
  crashed: { color: 'red', icon: <ExclamationCircleIcon /> },
  unknown: { color: 'grey', icon: <QuestionCircleIcon /> },
} as const;

export function StatusLabel({ status, isCompact = true }: { status: RunState; isCompact?: boolean }) {
  const look = LOOK[status] ?? LOOK.unknown;
  return (
    <Label isCompact={isCompact} color={look.color} icon={look.icon} data-status={status}>
      {m.vm.state[status] ?? status}
    </Label>
  );
}
