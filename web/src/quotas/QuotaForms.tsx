import { FormSelect, FormSelectOption, TextInput } from '@patternfly/react-core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import { usePools, useUsers } from '../api/queries';
import type { Quota } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import Confirm from '../ui/Confirm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { titleOf } from './quota-words';

interface QuotaProps {
  quota: Quota;
  close: () => void;
}

export function NewQuota({ close }: { close: () => void }) {
  const client = useQueryClient();
  const { may } = useSession();
  const pools = usePools();
  const [user, setUser] = useState('');
  const [pool, setPool] = useState('');
  const [limit, setLimit] = useState('100');
  const form = useMutation({
    mutationFn: () =>
      send('POST', '/api/quotas', { body: { pool: pool || null, user: user || null, limit_gb: Number(limit) } }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.quotas });
      close();
    },
  });
  const { error } = form;
  return (
    <FormDialog
      id="new-quota"
      title={m.quota.add}
      description={m.quota.needOne}
      action={m.quota.add}
      error={error}
      isPending={form.isPending}
      isReady={(pool !== '' || user !== '') && limit !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      {may('user.admin') ? (
        <UserField value={user} change={setUser} error={error} />
      ) : (
        <Field id="quota-user" name="user" label={m.quota.user} error={error}>
          <TextInput id="quota-user" value={user} onChange={(_event, value) => setUser(value)} />
        </Field>
      )}
      <Field id="quota-pool" name="pool" label={m.quota.pool} error={error}>
        <FormSelect id="quota-pool" value={pool} onChange={(_event, value) => setPool(value)}>
          <FormSelectOption value="" label={m.quota.allPools} />
          {pools.data?.map((each) => <FormSelectOption key={each.id} value={each.id} label={each.name} />)}
        </FormSelect>
      </Field>
      <LimitField value={limit} change={setLimit} error={error} />
    </FormDialog>
  );
}

interface FieldProps {
  value: string;
  change: (value: string) => void;
  error: unknown;
}

function UserField({ value, change, error }: FieldProps) {
  const users = useUsers();
  return (
    <Field id="quota-user" name="user" label={m.quota.user} error={error}>
      <FormSelect id="quota-user" value={value} onChange={(_event, name) => change(name)}>
        <FormSelectOption value="" label={m.quota.allUsers} />
        {users.data?.map((each) => <FormSelectOption key={each.name} value={each.name} label={each.name} />)}
      </FormSelect>
    </Field>
  );
}

function LimitField({ value, change, error }: FieldProps) {
  return (
    <Field id="quota-limit" name="limit_gb" label={m.quota.limit} error={error} isRequired>
      <TextInput
        id="quota-limit"
        type="number"
        min={0}
        step="any"
        value={value}
        validated={stateOf(error, 'limit_gb')}
        onChange={(_event, text) => change(text)}
      />
    </Field>
  );
}

export function ChangeQuota({ quota, close }: QuotaProps) {
  const client = useQueryClient();
  const [limit, setLimit] = useState(String(quota.limit_gb));
  const form = useMutation({
    mutationFn: () => send('PATCH', quotaPath(quota), { body: { limit_gb: Number(limit) }, ifMatch: quota.revision }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.quotas });
      close();
    },
  });
  return (
    <FormDialog
      id="change-quota"
      title={m.quota.changeTitle(titleOf(quota))}
      action={m.save}
      error={form.error}
      isPending={form.isPending}
      isReady={limit !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <LimitField value={limit} change={setLimit} error={form.error} />
    </FormDialog>
  );
}

export function DeleteQuota({ quota, close }: QuotaProps) {
  const client = useQueryClient();
  const run = async () => {
    await send('DELETE', quotaPath(quota));
    await client.invalidateQueries({ queryKey: keys.quotas });
  };
  return (
    <Confirm title={m.quota.removeTitle(titleOf(quota))} action={m.quota.remove} isDanger run={run} close={close}>
      <p>{m.quota.removeBody}</p>
    </Confirm>
  );
}

function quotaPath(quota: Quota): string {
  return `/api/quotas/${encodeURIComponent(quota.id)}`;
}
