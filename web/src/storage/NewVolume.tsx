import { FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { poolPath } from '../api/queries';
import type { Pool, VolumeOptions } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { bytes } from '../ui/format';
import { SizeField } from './VolumeForms';

export function NewVolume({ pool, close }: { pool: Pool; close: () => void }) {
  const [name, setName] = useState('');
  const [size, setSize] = useState('10');
  const [format, setFormat] = useState('');
  const [options, setOptions] = useState<VolumeOptions>({});
  const body = {
    name,
    size_gb: Number(size),
    format: format || null,
    ...(Object.keys(options).length > 0 && { options }),
  };
  const form = useTaskForm(() => start('POST', `${poolPath(pool.id)}/volumes`, { body }), close);
  const { error } = form;
  return (
    <FormDialog
      id="new-volume"
      title={m.storage.createVolume}
      action={m.storage.createVolume}
      error={error}
      isPending={form.isPending}
      isReady={name !== '' && size !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="volume-name" name="name" label={m.storage.name} error={error} isRequired>
        <TextInput id="volume-name" value={name} validated={stateOf(error, 'name')} onChange={(_event, value) => setName(value)} />
      </Field>
      <SizeField value={size} change={setSize} error={error} />
      {pool.formats.length > 1 && (
        <Field id="volume-format" name="format" label={m.storage.format} error={error}>
          <FormSelect id="volume-format" value={format} onChange={(_event, value) => setFormat(value)}>
            <FormSelectOption value="" label={m.storage.asThePool(pool.formats[0] ?? '')} />
            {pool.formats.map((each) => (
              <FormSelectOption key={each} value={each} label={each} />
            ))}
          </FormSelect>
        </Field>
      )}
      {pool.storage_type === 'zfs' && <ZfsFields options={options} change={setOptions} error={error} />}
    </FormDialog>
  );
}

const SPARSE = { yes: true, no: false } as const;
const BLOCK_SIZES = [4, 8, 16, 32, 64, 128].map((kib) => kib * 1024);
const COMPRESSIONS = ['lz4', 'zstd', 'gzip', 'off'];

interface ZfsFieldsProps {
  options: VolumeOptions;
  change: (options: VolumeOptions) => void;
  error: unknown;
}

/** What is left as the pool says is not sent. */
function ZfsFields({ options, change, error }: ZfsFieldsProps) {
  const set = <K extends keyof VolumeOptions>(key: K, value: VolumeOptions[K]) => {
    const others = Object.fromEntries(Object.entries(options).filter(([other]) => other !== key));
    change(value === undefined ? others : { ...others, [key]: value });
  };
  const sparse = options.is_sparse === undefined ? '' : options.is_sparse ? 'yes' : 'no';
  return (
    <>
      <Field id="volume-sparse" name="options.is_sparse" label={m.storage.sparse} error={error}>
        <FormSelect
          id="volume-sparse"
          value={sparse}
          onChange={(_event, value) => set('is_sparse', SPARSE[value as keyof typeof SPARSE])}
        >
          {Object.entries(m.storage.sparses).map(([value, label]) => (
            <FormSelectOption key={value} value={value} label={label} />
          ))}
        </FormSelect>
      </Field>
      <div className="horcrux-pair">
        <Field id="volume-block" name="options.block_size_bytes" label={m.storage.blockSize} error={error}>
          <FormSelect
            id="volume-block"
            value={options.block_size_bytes ?? ''}
            onChange={(_event, value) => set('block_size_bytes', value === '' ? undefined : Number(value))}
          >
            <FormSelectOption value="" label={m.storage.asPool} />
            {BLOCK_SIZES.map((size) => (
              <FormSelectOption key={size} value={size} label={bytes(size)} />
            ))}
          </FormSelect>
        </Field>
        <Field id="volume-compression" name="options.compression" label={m.storage.compression} error={error}>
          <FormSelect
            id="volume-compression"
            value={options.compression ?? ''}
            onChange={(_event, value) => set('compression', value || undefined)}
          >
            <FormSelectOption value="" label={m.storage.asPool} />
            {COMPRESSIONS.map((each) => (
              <FormSelectOption key={each} value={each} label={each} />
            ))}
          </FormSelect>
        </Field>
      </div>
    </>
  );
}
