import {
  Alert,
  Button,
  Checkbox,
  Form,
  FormSelect,
  FormSelectOption,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextArea,
  TextInput,
} from '@patternfly/react-core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { start } from '../api/client';
import { isApiError } from '../api/errors';
import { vmPath } from '../api/queries';
import type { Firmware, VmChange, VmView } from '../api/types';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import { ErrorAlert } from '../ui/ErrorAlert';
import { Field, stateOf } from '../ui/Field';
import { mebibytes } from '../ui/format';
import { isOnlyAboutFields } from './fields';
import { tagsOf } from './order';

/** Changes on the revision that was opened: a newer one is a dialog, never a lost update. */
export function EditVm({ vm, close }: { vm: VmView; close: () => void }) {
  const client = useQueryClient();
  const watch = useWatch();
  const [opened, setOpened] = useState(vm);
  const [draft, setDraft] = useState(() => draftOf(vm));
  const save = useMutation({
    mutationFn: async () => {
      const task = await start('PATCH', vmPath(vm.id), { body: changeOf(draft, opened), ifMatch: opened.revision });
      if (task) watch(task);
    },
    onSuccess: close,
  });
  const reload = async () => {
    await client.refetchQueries({ queryKey: keys.vm(vm.id) });
    const now = client.getQueryData<VmView>(keys.vm(vm.id)) ?? vm;
    setOpened(now);
    setDraft(draftOf(now));
    save.reset();
  };
  const isStale = isApiError(save.error) && save.error.status === 412;
  return (
    <Modal isOpen variant="medium" onClose={close} aria-labelledby="edit-title">
      <ModalHeader title={m.vm.editTitle(opened.name)} labelId="edit-title" description={m.vm.editPending} />
      <ModalBody>
        {isStale && (
          <Alert
            isInline
            variant="warning"
            title={m.vm.changedTitle}
            actionLinks={
              <Button variant="link" isInline onClick={() => void reload()}>
                {m.vm.reload}
              </Button>
            }
          >
            {m.vm.changedBody}
          </Alert>
        )}
        {save.error && !isStale && !isOnlyAboutFields(save.error) && <ErrorAlert error={save.error} />}
        <EditForm draft={draft} setDraft={setDraft} error={save.error} submit={() => save.mutate()} />
      </ModalBody>
      <ModalFooter>
        <Button form="edit-vm" type="submit" isLoading={save.isPending} isDisabled={save.isPending || isStale}>
          {m.save}
        </Button>
        <Button variant="link" onClick={close}>
          {m.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}

interface Draft {
  name: string;
  cpu_cores: string;
  memory_mb: string;
  firmware: Firmware;
  tags: string;
  notes: string;
  autostart: boolean;
}

function draftOf(vm: VmView): Draft {
  return {
    name: vm.name,
    cpu_cores: String(vm.cpu_cores),
    memory_mb: String(vm.memory_mb),
    firmware: vm.firmware,
    tags: vm.tags.join(', '),
    notes: vm.notes,
    autostart: vm.autostart,
  };
}

/** Only what was touched is sent, so that two people who change different fields do not undo each other. */
function changeOf(draft: Draft, vm: VmView): VmChange {
  const before = draftOf(vm);
  const change: VmChange = {};
  if (draft.name !== before.name) change.name = draft.name;
  if (draft.cpu_cores !== before.cpu_cores) change.cpu_cores = Number(draft.cpu_cores);
  if (draft.memory_mb !== before.memory_mb) change.memory_mb = Number(draft.memory_mb);
  if (draft.firmware !== before.firmware) change.firmware = draft.firmware;
  if (draft.tags !== before.tags) change.tags = tagsOf(draft.tags);
  if (draft.notes !== before.notes) change.notes = draft.notes;
  if (draft.autostart !== before.autostart) change.autostart = draft.autostart;
  return change;
}

interface EditFormProps {
  draft: Draft;
  setDraft: (draft: Draft) => void;
  error: unknown;
  submit: () => void;
}

function EditForm({ draft, setDraft, error, submit }: EditFormProps) {
  const set = (change: Partial<Draft>) => setDraft({ ...draft, ...change });
  return (
    <Form
      id="edit-vm"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <Field id="edit-name" name="name" label={m.vm.name} error={error}>
        <TextInput id="edit-name" value={draft.name} validated={stateOf(error, 'name')} onChange={(_event, name) => set({ name })} />
      </Field>
      <Field id="edit-cpu" name="cpu_cores" label={m.vm.cpu} error={error}>
        <TextInput
          id="edit-cpu"
          type="number"
          min={1}
          value={draft.cpu_cores}
          validated={stateOf(error, 'cpu_cores')}
          onChange={(_event, value) => set({ cpu_cores: value })}
        />
      </Field>
      <Field
        id="edit-memory"
        name="memory_mb"
        label={m.vm.new.memory}
        error={error}
        help={m.vm.new.memoryIs(mebibytes(Number(draft.memory_mb) || 0))}
      >
        <TextInput
          id="edit-memory"
          type="number"
          min={1}
          value={draft.memory_mb}
          validated={stateOf(error, 'memory_mb')}
          onChange={(_event, value) => set({ memory_mb: value })}
        />
      </Field>
      <Field id="edit-firmware" name="firmware" label={m.vm.new.firmware} error={error}>
        <FormSelect
          id="edit-firmware"
          value={draft.firmware}
          onChange={(_event, value) => set({ firmware: value === 'uefi' ? 'uefi' : 'bios' })}
        >
          <FormSelectOption value="bios" label={m.vm.new.bios} />
          <FormSelectOption value="uefi" label={m.vm.new.uefi} />
        </FormSelect>
      </Field>
      <Field id="edit-tags" name="tags" label={m.vm.tags} error={error} help={m.vm.new.tagsHelp}>
        <TextInput id="edit-tags" value={draft.tags} validated={stateOf(error, 'tags')} onChange={(_event, tags) => set({ tags })} />
      </Field>
      <Field id="edit-notes" name="notes" label={m.vm.facts.notes} error={error}>
        <TextArea id="edit-notes" rows={3} value={draft.notes} onChange={(_event, notes) => set({ notes })} />
      </Field>
      <Checkbox
        id="edit-autostart"
        label={m.vm.facts.autostart}
        isChecked={draft.autostart}
        onChange={(_event, autostart) => set({ autostart })}
      />
    </Form>
  );
}
