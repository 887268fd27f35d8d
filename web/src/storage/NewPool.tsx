import { FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { useFound } from '../api/queries';
import type { FoundPool, PoolType } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { bytes } from '../ui/format';
import { HealthLabel } from './HealthLabel';
import { POOL_FORMS, type PoolForm, fieldsOf, formOf, isComplete, offersOf, optionsOf } from './pool-forms';

export function NewPool({ close }: { close: () => void }) {
  const [type, setType] = useState<PoolType>('dir');
  const [id, setId] = useState('');
  const [name, setName] = useState('');
  const [typed, setTyped] = useState<string | null>(null);
  const [options, setOptions] = useState<Record<string, string>>({});
  const shape = formOf(type);
  const offers = offersOf(type, useFound(shape.isFound === true).data ?? []);
  const target = typed ?? offers[0]?.target ?? '';
  const body = { id, storage_type: type, target: target.trim(), options: optionsOf(shape, options), ...(name && { name }) };
  const form = useTaskForm(() => start('POST', '/api/storage', { body }), close);
  const { error } = form;
  return (
    <FormDialog
      id="new-pool"
      title={m.storage.createPool}
      action={m.storage.createPool}
      error={error}
      isPending={form.isPending}
      isReady={isComplete(shape, id, target, options)}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="pool-type" name="storage_type" label={m.storage.type} error={error} help={m.storage.typeHelp[type]}>
        <FormSelect
          id="pool-type"
          value={type}
          onChange={(_event, value) => {
            setType(value as PoolType);
            setTyped(null);
            setOptions({});
          }}
        >
          {POOL_FORMS.map((each) => (
            <FormSelectOption key={each.type} value={each.type} label={m.storage.typeNames[each.type] ?? each.type} />
          ))}
        </FormSelect>
      </Field>
      <Field id="pool-id" name="id" label={m.storage.id} error={error} help={m.storage.idHelp} isRequired>
        <TextInput
          id="pool-id"
          autoCapitalize="none"
          value={id}
          validated={stateOf(error, 'id')}
          onChange={(_event, value) => setId(value)}
        />
      </Field>
      <Field id="pool-name" name="name" label={m.storage.name} error={error}>
        <TextInput id="pool-name" value={name} validated={stateOf(error, 'name')} onChange={(_event, value) => setName(value)} />
      </Field>
      {offers.length > 0 && <Offers offers={offers} target={target} choose={setTyped} />}
      <TargetField shape={shape} value={target} change={setTyped} error={error} />
      <OptionFields shape={shape} values={options} change={setOptions} error={error} />
    </FormDialog>
  );
}

const OTHER = '';

interface OffersProps {
  offers: FoundPool[];
  target: string;
  choose: (target: string) => void;
}

/** What the host has; its name goes into the field below, where a dataset of it can be named. */
function Offers({ offers, target, choose }: OffersProps) {
  const chosen = offers.find((each) => each.target === target);
  return (
    <Field
      id="pool-found"
      name=""
      label={m.storage.forms.found}
      error={null}
      help={
        chosen && (
          <>
            <HealthLabel health={chosen.health} isAlways /> {chosen.problems.join(' ')}
          </>
        )
      }
    >
      <FormSelect id="pool-found" value={chosen ? target : OTHER} onChange={(_event, value) => choose(value)}>
        {offers.map((each) => (
          <FormSelectOption
            key={each.target}
            value={each.target}
            label={`${each.target}: ${m.storage.free(bytes(each.available_bytes), bytes(each.total_bytes))}`}
          />
        ))}
        {!chosen && <FormSelectOption value={OTHER} label={m.storage.forms.other} />}
      </FormSelect>
    </Field>
  );
}

interface TargetFieldProps {
  shape: PoolForm;
  value: string;
  change: (value: string) => void;
  error: unknown;
}

function TargetField({ shape, value, change, error }: TargetFieldProps) {
  return (
    <Field id="pool-target" name="target" label={shape.target} error={error} help={shape.help} isRequired>
      <TextInput
        id="pool-target"
        autoCapitalize="none"
        value={value}
        validated={stateOf(error, 'target')}
        onChange={(_event, text) => change(text)}
      />
    </Field>
  );
}

interface OptionFieldsProps {
  shape: PoolForm;
  values: Record<string, string>;
  change: (values: Record<string, string>) => void;
  error: unknown;
}

function OptionFields({ shape, values, change, error }: OptionFieldsProps) {
  return fieldsOf(shape, values).map((field) => {
    const { key, label, help, isRequired, choice } = field;
    const set = (value: string) => change({ ...values, [key]: value });
    return (
      <Field key={key} id={`pool-${key}`} name={`options.${key}`} label={label} error={error} help={help} isRequired={isRequired}>
        {choice ? (
          <FormSelect id={`pool-${key}`} value={values[key] ?? ''} onChange={(_event, value) => set(value)}>
            {Object.entries(choice).map(([value, text]) => (
              <FormSelectOption key={value} value={value} label={text} />
            ))}
          </FormSelect>
        ) : (
          <TextInput
            id={`pool-${key}`}
            autoCapitalize="none"
            value={values[key] ?? ''}
            validated={stateOf(error, `options.${key}`)}
            onChange={(_event, value) => set(value)}
          />
        )}
      </Field>
    );
  });
}
