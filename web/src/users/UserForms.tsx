import { FormGroup, Radio, TextInput } from '@patternfly/react-core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import type { Role, User } from '../api/types';
import { PasswordInput } from '../auth/PasswordInput';
import { m } from '../messages';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';

const ROLES: Role[] = ['viewer', 'operator', 'admin'];

export function userPath(user: User): string {
  return `/api/auth/users/${encodeURIComponent(user.name)}`;
}

function useUserForm(run: () => Promise<unknown>, close: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: run,
    onSuccess: async () => {
      close();
      await client.invalidateQueries({ queryKey: keys.users });
    },
  });
}

export function NewUser({ close }: { close: () => void }) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const form = useUserForm(() => send('POST', '/api/auth/users', { body: { name, password, role } }), close);
  return (
    <FormDialog
      id="new-user"
      title={m.users.create}
      action={m.users.create}
      error={form.error}
      isPending={form.isPending}
      isReady={name !== '' && password !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="user-name" name="name" label={m.users.name} error={form.error} isRequired>
        <TextInput
          id="user-name"
          autoComplete="off"
          autoCapitalize="none"
          value={name}
          validated={stateOf(form.error, 'name')}
          onChange={(_event, value) => setName(value)}
        />
      </Field>
      <Field id="user-password" name="password" label={m.users.password} error={form.error} help={m.setUp.passwordHelp} isRequired>
        <PasswordInput id="user-password" autoComplete="new-password" value={password} onChange={setPassword} />
      </Field>
      <RoleField role={role} setRole={setRole} />
    </FormDialog>
  );
}

export function ChangeRole({ user, close }: { user: User; close: () => void }) {
  const [role, setRole] = useState<Role>(user.role);
  const form = useUserForm(() => send('PATCH', userPath(user), { body: { role } }), close);
  return (
    <FormDialog
      id="user-role"
      title={`${m.users.changeRole}: ${user.name}`}
      action={m.save}
      error={form.error}
      isPending={form.isPending}
      isReady={role !== user.role}
      submit={() => form.mutate()}
      close={close}
    >
      <RoleField role={role} setRole={setRole} />
    </FormDialog>
  );
}

export function SetPassword({ user, close }: { user: User; close: () => void }) {
  const [password, setPassword] = useState('');
  const form = useUserForm(() => send('PATCH', userPath(user), { body: { password } }), close);
  return (
    <FormDialog
      id="user-set-password"
      title={`${m.users.setPassword}: ${user.name}`}
      action={m.save}
      error={form.error}
      isPending={form.isPending}
      isReady={password !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="user-password" name="password" label={m.setUp.newPassword} error={form.error} help={m.setUp.passwordHelp} isRequired>
        <PasswordInput id="user-password" autoComplete="new-password" value={password} onChange={setPassword} />
      </Field>
    </FormDialog>
  );
}

function RoleField({ role, setRole }: { role: Role; setRole: (role: Role) => void }) {
  return (
    <FormGroup role="radiogroup" label={m.users.role} fieldId="user-role">
      {ROLES.map((each) => (
        <Radio
          key={each}
          id={`role-${each}`}
          name="role"
          label={m.roles[each]}
          description={m.roleHelp[each]}
          isChecked={role === each}
          onChange={() => setRole(each)}
        />
      ))}
    </FormGroup>
  );
}
