import { FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';

import { usePools } from '../api/queries';
import { m } from '../messages';
import { Field, stateOf } from '../ui/Field';
import { bytes } from '../ui/format';

interface FieldProps {
  value: string;
  change: (value: string) => void;
  error: unknown;
}

export function IdField({ value, change, error }: FieldProps) {
  return (
    <Field id="clone-id" name="new_vm_id" label={m.template.newId} error={error} help={m.template.newIdHelp} isRequired>
      <TextInput
        id="clone-id"
        autoCapitalize="none"
        autoComplete="off"
        value={value}
        validated={stateOf(error, 'new_vm_id')}
        onChange={(_event, text) => change(text)}
      />
    </Field>
  );
}

export function NameField({ value, change, error }: FieldProps) {
  return (
    <Field id="clone-name" name="name" label={m.template.newName} error={error} help={m.template.newNameHelp}>
      <TextInput id="clone-name" value={value} validated={stateOf(error, 'name')} onChange={(_event, text) => change(text)} />
    </Field>
  );
}

/** `own`: what the choice is called that leaves the disks in the pools they are in. */
export function PoolField({ value, change, error, own }: FieldProps & { own: string }) {
  const pools = usePools().data ?? [];
  return (
    <Field id="clone-pool" name="storage_pool" label={m.template.pool} error={error}>
      <FormSelect id="clone-pool" value={value} onChange={(_event, pool) => change(pool)}>
        <FormSelectOption value="" label={own} />
        {pools
          .filter((each) => each.is_active)
          .map((each) => (
            <FormSelectOption key={each.id} value={each.id} label={m.disk.poolFree(each.name, bytes(each.available_bytes))} />
          ))}
      </FormSelect>
    </Field>
  );
}
