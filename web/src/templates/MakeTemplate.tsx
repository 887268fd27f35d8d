import { Alert, Radio, TextArea, TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { useVm } from '../api/queries';
import type { VmListItem } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';

interface MakeTemplateProps {
  vm: VmListItem;
  close: () => void;
  /** Called when the machine itself becomes the template, and so is no longer there. */
  turned?: () => void;
}

export default function MakeTemplate({ vm, close, turned }: MakeTemplateProps) {
  const detail = useVm(vm.id);
  const [name, setName] = useState(vm.name);
  const [id, setId] = useState('');
  const [notes, setNotes] = useState('');
  const [isKept, setIsKept] = useState(true);
  const body = { vm_id: vm.id, name, id: id || null, keep_vm: isKept, notes };
  const form = useTaskForm(
    () => start('POST', '/api/templates', { body }),
    () => {
      close();
      if (!isKept) turned?.();
    },
  );
  const { error } = form;
  const hasSnapshots = (detail.data?.snapshots ?? 0) > 0;
  return (
    <FormDialog
      id="make-template"
      title={m.template.makeTitle(vm.name)}
      description={m.template.makeIntro}
      action={m.template.make}
      error={error}
      isPending={form.isPending}
      isReady={name !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="template-name" name="name" label={m.template.name} error={error} isRequired>
        <TextInput id="template-name" value={name} validated={stateOf(error, 'name')} onChange={(_event, value) => setName(value)} />
      </Field>
      <Field id="template-id" name="id" label={m.template.id} error={error} help={m.template.idHelp}>
        <TextInput
          id="template-id"
          autoCapitalize="none"
          value={id}
          validated={stateOf(error, 'id')}
          onChange={(_event, value) => setId(value)}
        />
      </Field>
      <fieldset className="horcrux-stack">
        <legend className="horcrux-legend">{m.template.what}</legend>
        <Radio
          id="template-keep"
          name="template-what"
          label={m.template.keep}
          description={m.template.keepHelp}
          isChecked={isKept}
          onChange={() => setIsKept(true)}
        />
        <Radio
          id="template-turn"
          name="template-what"
          label={m.template.turn}
          description={m.template.turnHelp}
          isChecked={!isKept}
          onChange={() => setIsKept(false)}
        />
      </fieldset>
      {!isKept && hasSnapshots && <Alert isInline isPlain variant="warning" title={m.template.makeSnapshots} />}
      <Field id="template-notes" name="notes" label={m.template.notes} error={error}>
        <TextArea id="template-notes" rows={2} resizeOrientation="vertical" value={notes} onChange={(_event, value) => setNotes(value)} />
      </Field>
    </FormDialog>
  );
}
