import { Alert, List, ListItem } from '@patternfly/react-core';
import { Link } from 'react-router';

import { start } from '../api/client';
import { templatePath, useTemplates } from '../api/queries';
import type { Template } from '../api/types';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import Confirm from '../ui/Confirm';

interface DeleteTemplateProps {
  template: Template;
  close: () => void;
  done?: () => void;
}

/** The machines that stand on it are named before the server has to refuse. */
export default function DeleteTemplate({ template, close, done }: DeleteTemplateProps) {
  const watch = useWatch();
  const run = async () => {
    const task = await start('DELETE', templatePath(template.id), { ifMatch: template.revision });
    if (task) watch(task);
    done?.();
  };
  const isHeld = template.linked_clones.length > 0;
  return (
    <Confirm title={m.template.deleteTitle(template.name)} action={m.template.delete} isDanger isBlocked={isHeld} run={run} close={close}>
      {isHeld ? (
        <Alert isInline variant="warning" title={m.template.standOn}>
          <CloneLinks ids={template.linked_clones} />
        </Alert>
      ) : (
        <p>{m.template.deleteBody}</p>
      )}
    </Confirm>
  );
}

/** Machines, and templates that were made of such. */
export function CloneLinks({ ids }: { ids: string[] }) {
  const templates = useTemplates().data ?? [];
  const roomOf = (id: string) => (templates.some((each) => each.id === id) ? 'templates' : 'vms');
  return (
    <List isPlain>
      {ids.map((id) => (
        <ListItem key={id}>
          <Link to={`/${roomOf(id)}/${encodeURIComponent(id)}`}>{id}</Link>
        </ListItem>
      ))}
    </List>
  );
}
