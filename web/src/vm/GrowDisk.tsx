import { TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { vmPath } from '../api/queries';
import type { VmDisk, VmView } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { gibibytes } from '../ui/format';
import { isGrowth, nextSize } from './disk-words';
import { hasScreen } from './power';

interface GrowDiskProps {
  vm: VmView;
  disk: VmDisk;
  close: () => void;
}

export default function GrowDisk({ vm, disk, close }: GrowDiskProps) {
  const [size, setSize] = useState(() => String(nextSize(disk.size_gb)));
  const path = `${vmPath(vm.id)}/disks/${encodeURIComponent(disk.name)}/resize`;
  const form = useTaskForm(() => start('POST', path, { body: { size_gb: Number(size) } }), close);
  return (
    <FormDialog
      id="grow-disk"
      title={m.disk.growTitle(disk.name, vm.name)}
      description={hasScreen(vm.status) ? m.disk.growGuest : undefined}
      action={m.disk.grow}
      error={form.error}
      isPending={form.isPending}
      isReady={isGrowth(size, disk.size_gb)}
      submit={() => form.mutate()}
      close={close}
    >
      <Field
        id="grow-size"
        name="size_gb"
        label={m.disk.size}
        error={form.error}
        help={m.disk.growHelp(gibibytes(disk.size_gb))}
        isRequired
      >
        <TextInput
          id="grow-size"
          type="number"
          min={disk.size_gb}
          step="any"
          value={size}
          validated={stateOf(form.error, 'size_gb')}
          onChange={(_event, value) => setSize(value)}
        />
      </Field>
    </FormDialog>
  );
}
