import { TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { volumePath } from '../api/queries';
import type { Volume } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { useWatch } from '../tasks/watch';
import Confirm from '../ui/Confirm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';

interface SizeFieldProps {
  value: string;
  change: (value: string) => void;
  error: unknown;
  help?: string;
}

export function SizeField({ value, change, error, help }: SizeFieldProps) {
  return (
    <Field id="volume-size" name="size_gb" label={m.storage.sizeGb} error={error} help={help} isRequired>
      <TextInput
        id="volume-size"
        type="number"
        min={0}
        step="any"
        value={value}
        validated={stateOf(error, 'size_gb')}
        onChange={(_event, text) => change(text)}
      />
    </Field>
  );
}

export function ResizeVolume({ volume, close }: { volume: Volume; close: () => void }) {
  const [size, setSize] = useState(String(volume.size_gb));
  const path = `${volumePath(volume.pool, volume.name)}/resize`;
  const form = useTaskForm(() => start('POST', path, { body: { size_gb: Number(size) } }), close);
  return (
    <FormDialog
      id="resize-volume"
      title={m.storage.resizeTitle(volume.name)}
      action={m.storage.resize}
      error={form.error}
      isPending={form.isPending}
      isReady={Number(size) > volume.size_gb}
      submit={() => form.mutate()}
      close={close}
    >
      <SizeField value={size} change={setSize} error={form.error} help={m.storage.resizeHelp} />
    </FormDialog>
  );
}

export function DeleteVolume({ volume, close }: { volume: Volume; close: () => void }) {
  const watch = useWatch();
  const run = async () => {
    const task = await start('DELETE', volumePath(volume.pool, volume.name));
    if (task) watch(task);
  };
  return (
    <Confirm title={m.storage.deleteVolumeTitle(volume.name)} action={m.storage.remove} isDanger run={run} close={close}>
      <p>{m.storage.deleteVolumeBody}</p>
    </Confirm>
  );
}
