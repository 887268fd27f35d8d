import { Label } from '@patternfly/react-core';
import { InProgressIcon } from '@patternfly/react-icons';

import type { Template } from '../api/types';
import { m } from '../messages';

/** Nothing for one that can be used. */
export function TemplateState({ state }: { state: Template['state'] }) {
  if (state !== 'creating' && state !== 'deleting') return null;
  return (
    <Label isCompact color={state === 'deleting' ? 'orange' : 'purple'} icon={<InProgressIcon />}>
      {m.template.state[state]}
    </Label>
  );
}
