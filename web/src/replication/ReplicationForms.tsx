import { Alert, Checkbox, FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send, start } from '../api/client';
import { replicationPath, usePeers } from '../api/queries';
import type { Replication, VmView } from '../api/types';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { useWatch } from '../tasks/watch';
import Confirm from '../ui/Confirm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { OWN, limitOf } from './schedule-words';

const EVERY_QUARTER = '*/15 * * * *';

interface Draft {
  schedule: string;
  limit: string;
  isEnabled: boolean;
}

export function NewReplication({ vm, close }: { vm: VmView; close: () => void }) {
  const client = useQueryClient();
  const peers = usePeers();
  const [chosen, setPeer] = useState('');
  const [pool, setPool] = useState('');
  const [draft, setDraft] = useState<Draft>({ schedule: EVERY_QUARTER, limit: '', isEnabled: true });
  const names = (peers.data ?? []).map((each) => each.name);
  const peer = chosen || (names[0] ?? '');
  const body = { vm_id: vm.id, peer, target_pool: pool, ...bodyOf(draft) };
  const form = useTaskForm(
    async () => {
      const task = await start('POST', '/api/replications', { body });
      await client.invalidateQueries({ queryKey: keys.replications });
      return task;
    },
    close,
  );
  const { error } = form;
  return (
    <FormDialog
      id="new-replication"
      title={m.replication.addTitle(vm.name)}
      action={m.replication.add}
      error={error}
      isPending={form.isPending}
      isReady={peer !== '' && pool !== '' && draft.schedule.trim() !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      {peers.data?.length === 0 && <Alert isInline variant="info" title={m.replication.noPeers} />}
      <Field id="replication-peer" name="peer" label={m.replication.peer} error={error} isRequired>
        <FormSelect id="replication-peer" value={peer} onChange={(_event, value) => setPeer(value)}>
          {names.map((name) => (
            <FormSelectOption key={name} value={name} label={name} />
          ))}
        </FormSelect>
      </Field>
      <Field id="replication-pool" name="target_pool" label={m.replication.pool} error={error} help={m.replication.poolHelp} isRequired>
        <TextInput
          id="replication-pool"
          autoCapitalize="none"
          value={pool}
          validated={stateOf(error, 'target_pool')}
          onChange={(_event, value) => setPool(value)}
        />
      </Field>
      <DraftFields draft={draft} setDraft={setDraft} error={error} />
    </FormDialog>
  );
}

export function ChangeReplication({ replication, close }: { replication: Replication; close: () => void }) {
  const client = useQueryClient();
  const [draft, setDraft] = useState<Draft>({
    schedule: replication.schedule,
    limit: replication.bandwidth_limit_mib_s === null ? '' : String(replication.bandwidth_limit_mib_s),
    isEnabled: replication.is_enabled,
  });
  const form = useTaskForm(
    async () => {
      await send('PATCH', replicationPath(replication.id), { body: bodyOf(draft), ifMatch: replication.revision });
      await client.invalidateQueries({ queryKey: keys.replications });
      return null;
    },
    close,
  );
  return (
    <FormDialog
      id="change-replication"
      title={m.replication.editTitle(replication.peer)}
      action={m.save}
      error={form.error}
      isPending={form.isPending}
      isReady={draft.schedule.trim() !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <DraftFields draft={draft} setDraft={setDraft} error={form.error} />
    </FormDialog>
  );
}

function bodyOf(draft: Draft) {
  return { schedule: draft.schedule, bandwidth_limit_mib_s: limitOf(draft.limit), is_enabled: draft.isEnabled };
}

interface DraftFieldsProps {
  draft: Draft;
  setDraft: (draft: Draft) => void;
  error: unknown;
}

function DraftFields({ draft, setDraft, error }: DraftFieldsProps) {
  const known = Object.keys(m.replication.schedules);
  const [isOwn, setIsOwn] = useState(!known.includes(draft.schedule));
  return (
    <>
      <Field id="replication-schedule" name={isOwn ? '' : 'schedule'} label={m.replication.schedule} error={error}>
        <FormSelect
          id="replication-schedule"
          value={isOwn ? OWN : draft.schedule}
          onChange={(_event, value) => {
            setIsOwn(value === OWN);
            if (value !== OWN) setDraft({ ...draft, schedule: value });
          }}
        >
          {known.map((cron) => (
            <FormSelectOption key={cron} value={cron} label={m.replication.schedules[cron] ?? cron} />
          ))}
          <FormSelectOption value={OWN} label={m.replication.ownSchedule} />
        </FormSelect>
      </Field>
      {isOwn && (
        <Field id="replication-cron" name="schedule" label={m.replication.cron} error={error} help={m.replication.scheduleHelp}>
          <TextInput
            id="replication-cron"
            className="horcrux-mono"
            value={draft.schedule}
            validated={stateOf(error, 'schedule')}
            onChange={(_event, schedule) => setDraft({ ...draft, schedule })}
          />
        </Field>
      )}
      <Field
        id="replication-limit"
        name="bandwidth_limit_mib_s"
        label={m.replication.bandwidth}
        error={error}
        help={m.replication.bandwidthHelp}
      >
        <TextInput
          id="replication-limit"
          type="number"
          min={0}
          step="any"
          value={draft.limit}
          validated={stateOf(error, 'bandwidth_limit_mib_s')}
          onChange={(_event, limit) => setDraft({ ...draft, limit })}
        />
      </Field>
      <Checkbox
        id="replication-enabled"
        label={m.replication.enabled}
        isChecked={draft.isEnabled}
        onChange={(_event, isEnabled) => setDraft({ ...draft, isEnabled })}
      />
    </>
  );
}

export function EndReplication({ replication, close }: { replication: Replication; close: () => void }) {
  const client = useQueryClient();
  const watch = useWatch();
  const [isWhole, setIsWhole] = useState(false);
  const run = async () => {
    const query = { delete_replica: isWhole || undefined };
    const task = await start('DELETE', replicationPath(replication.id), { query });
    if (task) watch(task);
    await client.invalidateQueries({ queryKey: keys.replications });
  };
  return (
    <Confirm
      title={m.replication.removeTitle(replication.vm_id, replication.peer)}
      action={m.replication.remove}
      isDanger
      run={run}
      close={close}
    >
      <div className="horcrux-stack">
        <p>{m.replication.removeBody}</p>
        <Checkbox
          id="replication-whole"
          label={m.replication.removeReplica}
          isChecked={isWhole}
          onChange={(_event, value) => setIsWhole(value)}
        />
      </div>
    </Confirm>
  );
}
