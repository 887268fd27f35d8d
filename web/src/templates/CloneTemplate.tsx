import { Checkbox, Radio } from '@patternfly/react-core';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { start } from '../api/client';
import { templatePath, usePools, useVms } from '../api/queries';
import type { Template } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { FormDialog } from '../ui/FormDialog';
import { IdField, NameField, PoolField } from './CloneFields';
import { canLink, freeId } from './clone-words';

type Kind = 'linked' | 'full';

/** Leads to the machine, which shows how far its making is. */
export default function CloneTemplate({ template, close }: { template: Template; close: () => void }) {
  const navigate = useNavigate();
  const vms = useVms();
  const pools = usePools().data ?? [];
  const mayLink = canLink(template, pools);
  const [typedId, setId] = useState<string | null>(null);
  const [name, setName] = useState('');
  const [wanted, setKind] = useState<Kind>('linked');
  const [pool, setPool] = useState('');
  const [isStarted, setIsStarted] = useState(true);
  const kind = mayLink ? wanted : 'full';
  const id = typedId ?? freeId(template.id, (vms.data ?? []).map((vm) => vm.id));
  const body = {
    new_vm_id: id,
    clone_type: kind,
    start: isStarted,
    ...(name && { name }),
    ...(kind === 'full' && pool && { storage_pool: pool }),
  };
  const form = useTaskForm(
    () => start('POST', `${templatePath(template.id)}/clone`, { body }),
    () => {
      close();
      void navigate(`/vms/${encodeURIComponent(id)}`);
    },
  );
  const { error } = form;
  return (
    <FormDialog
      id="clone-template"
      title={m.template.cloneTitle(template.name)}
      description={m.template.fresh}
      action={m.template.cloneAction}
      error={error}
      isPending={form.isPending}
      isReady={id !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <KindField kind={kind} setKind={setKind} mayLink={mayLink} />
      <IdField value={id} change={setId} error={error} />
      <NameField value={name} change={setName} error={error} />
      {kind === 'full' && <PoolField value={pool} change={setPool} error={error} own={m.template.samePool} />}
      <Checkbox id="clone-start" label={m.template.start} isChecked={isStarted} onChange={(_event, value) => setIsStarted(value)} />
    </FormDialog>
  );
}

interface KindFieldProps {
  kind: Kind;
  setKind: (kind: Kind) => void;
  mayLink: boolean;
}

function KindField({ kind, setKind, mayLink }: KindFieldProps) {
  return (
    <fieldset className="horcrux-stack">
      <legend className="horcrux-legend">{m.template.type}</legend>
      <Radio
        id="clone-linked"
        name="clone-kind"
        label={m.template.linked}
        description={mayLink ? m.template.linkedHelp : m.template.linkedNot}
        isDisabled={!mayLink}
        isChecked={kind === 'linked'}
        onChange={() => setKind('linked')}
      />
      <Radio
        id="clone-full"
        name="clone-kind"
        label={m.template.full}
        description={m.template.fullHelp}
        isChecked={kind === 'full'}
        onChange={() => setKind('full')}
      />
    </fieldset>
  );
}
