import { TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';

export function NewPool({ close }: { close: () => void }) {
  const [id, setId] = useState('');
  const [name, setName] = useState('');
  const [target, setTarget] = useState('');
  const body = { id, target, ...(name && { name }) };
  const form = useTaskForm(() => start('POST', '/api/storage', { body }), close);
  return (
    <FormDialog
      id="new-pool"
      title={m.storage.createPool}
      action={m.storage.createPool}
      error={form.error}
      isPending={form.isPending}
      isReady={id !== '' && target !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="pool-id" name="id" label={m.storage.id} error={form.error} help={m.storage.idHelp} isRequired>
        <TextInput
          id="pool-id"
          autoCapitalize="none"
          value={id}
          validated={stateOf(form.error, 'id')}
          onChange={(_event, value) => setId(value)}
        />
      </Field>
      <Field id="pool-name" name="name" label={m.storage.name} error={form.error}>
        <TextInput id="pool-name" value={name} validated={stateOf(form.error, 'name')} onChange={(_event, value) => setName(value)} />
      </Field>
      <Field id="pool-target" name="target" label={m.storage.folder} error={form.error} help={m.storage.folderHelp} isRequired>
        <TextInput
          id="pool-target"
          autoCapitalize="none"
          value={target}
          validated={stateOf(form.error, 'target')}
          onChange={(_event, value) => setTarget(value)}
        />
      </Field>
    </FormDialog>
  );
}
