import { Checkbox, FormSelect, FormSelectOption, TextArea, TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { vmPath } from '../api/queries';
import type { Freeze, Snapshot, VmView } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { hasScreen } from './power';
import { freeName } from './snapshot-tree';

const FREEZES: readonly Freeze[] = ['auto', 'always', 'never'];

interface NewSnapshotProps {
  vm: VmView;
  snapshots: Snapshot[];
  close: () => void;
}

export function NewSnapshot({ vm, snapshots, close }: NewSnapshotProps) {
  const [name, setName] = useState(() => freeName(snapshots, new Date()));
  const [description, setDescription] = useState('');
  const [memory, setMemory] = useState(false);
  const [freeze, setFreeze] = useState<Freeze>('auto');
  const isOn = hasScreen(vm.status);
  const body = { name, description, memory: memory && isOn, freeze };
  const form = useTaskForm(() => start('POST', `${vmPath(vm.id)}/snapshots`, { body }), close);
  return (
    <FormDialog
      id="new-snapshot"
      title={m.snapshot.create}
      description={vm.name}
      action={m.snapshot.create}
      error={form.error}
      isPending={form.isPending}
      isReady={name !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="snapshot-name" name="name" label={m.snapshot.name} error={form.error} help={m.snapshot.nameHelp} isRequired>
        <TextInput
          id="snapshot-name"
          autoCapitalize="none"
          autoComplete="off"
          value={name}
          validated={stateOf(form.error, 'name')}
          onChange={(_event, value) => setName(value)}
        />
      </Field>
      <Field id="snapshot-description" name="description" label={m.snapshot.description} error={form.error}>
        <TextArea
          id="snapshot-description"
          rows={2}
          resizeOrientation="vertical"
          value={description}
          onChange={(_event, value) => setDescription(value)}
        />
      </Field>
      <Checkbox
        id="snapshot-memory"
        label={m.snapshot.withMemory}
        description={isOn ? m.snapshot.withMemoryHelp : m.snapshot.memoryOff}
        isChecked={memory && isOn}
        isDisabled={!isOn}
        onChange={(_event, value) => setMemory(value)}
      />
      {isOn && (
        <Field id="snapshot-freeze" name="freeze" label={m.snapshot.freeze} error={form.error} help={m.snapshot.freezeHelp[freeze]}>
          <FormSelect id="snapshot-freeze" value={freeze} onChange={(_event, value) => setFreeze(value as Freeze)}>
            {FREEZES.map((each) => (
              <FormSelectOption key={each} value={each} label={m.snapshot.freezes[each]} />
            ))}
          </FormSelect>
        </Field>
      )}
    </FormDialog>
  );
}
