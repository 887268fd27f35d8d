import { Label } from '@patternfly/react-core';
import { CheckCircleIcon, ExclamationCircleIcon, ExclamationTriangleIcon } from '@patternfly/react-icons';

import type { Health } from '../api/types';
import { m } from '../messages';

const LOOK = {
  good: { color: 'green', icon: <CheckCircleIcon /> },
  degraded: { color: 'yellow', icon: <ExclamationTriangleIcon /> },
  faulted: { color: 'red', icon: <ExclamationCircleIcon /> },
} as const;

interface HealthLabelProps {
  health: Health;
  /** Also when it is good. */
  isAlways?: boolean;
  isCompact?: boolean;
}

export function HealthLabel({ health, isAlways, isCompact = true }: HealthLabelProps) {
  if (health === 'good' && !isAlways) return null;
  const look = LOOK[health];
  return (
    <Label isCompact={isCompact} color={look.color} icon={look.icon} data-health={health}>
      {m.storage.health[health]}
    </Label>
  );
}
