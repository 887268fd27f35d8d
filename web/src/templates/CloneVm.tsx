import { Checkbox } from '@patternfly/react-core';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import { start } from '../api/client';
import { useVms, vmPath } from '../api/queries';
import type { VmListItem } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { FormDialog } from '../ui/FormDialog';
import { IdField, NameField, PoolField } from './CloneFields';
import { freeId } from './clone-words';

/** A copy of a stopped machine. Leads to it, where it shows how far it is. */
export default function CloneVm({ vm, close }: { vm: VmListItem; close: () => void }) {
  const navigate = useNavigate();
  const vms = useVms();
  const [typedId, setId] = useState<string | null>(null);
  const [name, setName] = useState('');
  const [pool, setPool] = useState('');
  const [isStarted, setIsStarted] = useState(false);
  const id = typedId ?? freeId(vm.id, (vms.data ?? []).map((each) => each.id));
  const body = { new_vm_id: id, start: isStarted, ...(name && { name }), ...(pool && { storage_pool: pool }) };
  const form = useTaskForm(
    () => start('POST', `${vmPath(vm.id)}/clone`, { body }),
    () => {
      close();
      void navigate(`/vms/${encodeURIComponent(id)}`);
    },
  );
  const { error } = form;
  return (
    <FormDialog
      id="clone-vm"
      title={m.template.cloneVmTitle(vm.name)}
      description={m.template.cloneVmHelp}
      action={m.template.cloneAction}
      error={error}
      isPending={form.isPending}
      isReady={id !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <IdField value={id} change={setId} error={error} />
      <NameField value={name} change={setName} error={error} />
      <PoolField value={pool} change={setPool} error={error} own={m.template.ownPools} />
      <Checkbox id="clone-start" label={m.template.start} isChecked={isStarted} onChange={(_event, value) => setIsStarted(value)} />
    </FormDialog>
  );
}
