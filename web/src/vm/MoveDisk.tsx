import { Alert, FormSelect, FormSelectOption } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { usePools, vmPath } from '../api/queries';
import type { Pool, VmDisk, VmView } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { bytes, gibibytes } from '../ui/format';
import { poolsFor } from './disk-words';

interface MoveDiskProps {
  vm: VmView;
  disk: VmDisk;
  close: () => void;
}

export default function MoveDisk({ vm, disk, close }: MoveDiskProps) {
  const choice = poolsFor(disk, usePools().data ?? []);
  const [chosen, setChosen] = useState('');
  const [format, setFormat] = useState('');
  const pool = choice.find((each) => each.id === chosen) ?? choice[0];
  const body = { storage_pool: pool?.id, format: format || null };
  const path = `${vmPath(vm.id)}/disks/${encodeURIComponent(disk.name)}/move`;
  const form = useTaskForm(() => start('POST', path, { body }), close);
  return (
    <FormDialog
      id="move-disk"
      title={m.disk.moveTitle(disk.name, vm.name)}
      description={m.disk.moveHelp}
      action={m.disk.moveAction}
      error={form.error}
      isPending={form.isPending}
      isReady={pool !== undefined && !vm.snapshots}
      submit={() => form.mutate()}
      close={close}
    >
      {vm.snapshots ? <Alert isInline isPlain variant="warning" title={m.disk.moveSnapshots(m.snapshot.count(vm.snapshots))} /> : null}
      {disk.base && <Alert isInline isPlain variant="info" title={m.disk.moveLinked} />}
      {pool ? (
        <>
          <Field id="move-pool" name="storage_pool" label={m.disk.pool} error={form.error} help={<PoolHelp pool={pool} disk={disk} />}>
            <FormSelect
              id="move-pool"
              value={pool.id}
              onChange={(_event, value) => {
                setChosen(value);
                setFormat('');
              }}
            >
              {choice.map((each) => (
                <FormSelectOption key={each.id} value={each.id} label={m.disk.poolFree(each.name, bytes(each.available_bytes))} />
              ))}
            </FormSelect>
          </Field>
          <Field id="move-format" name="format" label={m.disk.format} error={form.error}>
            <FormSelect id="move-format" value={format} onChange={(_event, value) => setFormat(value)}>
              <FormSelectOption value="" label={m.disk.formatAsNow(disk.format)} />
              {pool.formats.map((each) => (
                <FormSelectOption key={each} value={each} label={each} />
              ))}
            </FormSelect>
          </Field>
        </>
      ) : (
        <Alert isInline variant="info" title={m.disk.noOtherPool} />
      )}
    </FormDialog>
  );
}

function PoolHelp({ pool, disk }: { pool: Pool; disk: VmDisk }) {
  const needs = m.disk.needs(gibibytes(disk.size_gb));
  return pool.available_bytes < disk.size_gb * 2 ** 30 ? `${needs} ${m.disk.tooSmall}` : needs;
}
