import { Checkbox } from '@patternfly/react-core';
import { type ReactNode, useState } from 'react';
import { useNavigate } from 'react-router';

import { start } from '../api/client';
import { useVms } from '../api/queries';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { FormDialog } from '../ui/FormDialog';
import { IdField, NameField, PoolField } from './CloneFields';
import { freeId } from './clone-words';

interface CloneFormProps {
  /** Of the dialog. */
  id: string;
  title: string;
  help: string;
  /** Of the machine or template that is copied. */
  source: string;
  /** Of the machine or template in the API. */
  path: string;
  /** Whether the clone is started unless somebody says otherwise. */
  isStarted: boolean;
  /** What the choice is called that leaves the disks in the pools they are in; none where that cannot be chosen. */
  ownPools?: string;
  clone_type?: 'linked' | 'full';
  /** Stands above the fields. */
  children?: ReactNode;
  close: () => void;
}

/** Leads to the clone, which shows how far its making is. */
export function CloneForm({ id: dialog, title, help, source, path, ownPools, clone_type, children, close, ...first }: CloneFormProps) {
  const navigate = useNavigate();
  const vms = useVms();
  const [typedId, setId] = useState<string | null>(null);
  const [name, setName] = useState('');
  const [pool, setPool] = useState('');
  const [isStarted, setIsStarted] = useState(first.isStarted);
  const id = typedId ?? freeId(source, (vms.data ?? []).map((vm) => vm.id));
  const body = {
    new_vm_id: id,
    start: isStarted,
    ...(clone_type && { clone_type }),
    ...(name && { name }),
    ...(ownPools && pool && { storage_pool: pool }),
  };
  const form = useTaskForm(
    () => start('POST', `${path}/clone`, { body }),
    () => {
      close();
      void navigate(`/vms/${encodeURIComponent(id)}`);
    },
  );
  const { error } = form;
  return (
    <FormDialog
      id={dialog}
      title={title}
      description={help}
      action={m.template.cloneAction}
      error={error}
      isPending={form.isPending}
      isReady={id !== ''}
      submit={() => {
        setId(id); // what was suggested is taken as soon as the clone is in the list
        form.mutate();
      }}
      close={close}
    >
      {children}
      <IdField value={id} change={setId} error={error} />
      <NameField value={name} change={setName} error={error} />
      {ownPools && <PoolField value={pool} change={setPool} error={error} own={ownPools} />}
      <Checkbox id="clone-start" label={m.template.start} isChecked={isStarted} onChange={(_event, value) => setIsStarted(value)} />
    </FormDialog>
  );
}
