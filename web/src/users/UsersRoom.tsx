import { Button, Label, PageSection } from '@patternfly/react-core';
import { PlusCircleIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import { useUsers } from '../api/queries';
import type { User } from '../api/types';
import { NotFound } from '../app/NotFound';
import { useToast } from '../app/toasts';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import Confirm from '../ui/Confirm';
import { ErrorDetails } from '../ui/ErrorAlert';
import { Room } from '../ui/Room';
import { type RowAction, RowMenu } from '../ui/RowMenu';
import { ago } from '../ui/format';
import { useNow } from '../ui/now';
import { ChangeRole, NewUser, SetPassword, userPath } from './UserForms';

interface Asked {
  what: 'role' | 'password' | 'delete';
  user: User;
}

export default function UsersRoom() {
  const { may } = useSession();
  return may('user.admin') ? <Users /> : <NotFound title={m.users.title} body={m.vm.noRight} />;
}

function Users() {
  const users = useUsers();
  const [isCreating, setIsCreating] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  return (
    <Room
      title={m.users.title}
      intro={m.users.intro}
      actions={
        <Button icon={<PlusCircleIcon />} onClick={() => setIsCreating(true)}>
          {m.users.create}
        </Button>
      }
    >
      <PageSection hasBodyWrapper={false}>
        <Answer query={users}>{(rows) => <UserTable users={rows} ask={setAsked} />}</Answer>
      </PageSection>
      {isCreating && <NewUser close={() => setIsCreating(false)} />}
      {asked?.what === 'role' && <ChangeRole user={asked.user} close={close} />}
      {asked?.what === 'password' && <SetPassword user={asked.user} close={close} />}
      {asked?.what === 'delete' && <DeleteUser user={asked.user} close={close} />}
    </Room>
  );
}

function UserTable({ users, ask }: { users: User[]; ask: (asked: Asked) => void }) {
  const { me } = useSession();
  const now = useNow();
  const actionsOf = useActions(ask);
  return (
    <Table variant="compact" aria-label={m.users.title}>
      <Thead>
        <Tr>
          <Th>{m.users.name}</Th>
          <Th>{m.users.role}</Th>
          <Th>{m.users.state}</Th>
          <Th>{m.users.made}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {users.map((user) => (
          <Tr key={user.name}>
            <Td dataLabel={m.users.name}>
              <span className="horcrux-line">
                {user.name}
                {user.name === me.username && <Label isCompact>{m.users.you}</Label>}
              </span>
            </Td>
            <Td dataLabel={m.users.role}>{m.roles[user.role]}</Td>
            <Td dataLabel={m.users.state}>
              <Label isCompact color={user.disabled ? 'grey' : 'green'}>
                {user.disabled ? m.users.disabled : m.users.active}
              </Label>
            </Td>
            <Td dataLabel={m.users.made}>{ago(user.created_at, now)}</Td>
            <Td isActionCell>
              <RowMenu label={m.users.actionsOf(user.name)} actions={actionsOf(user)} />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function useActions(ask: (asked: Asked) => void): (user: User) => (RowAction | 'line')[] {
  const client = useQueryClient();
  const toast = useToast();
  const able = async (user: User, disabled: boolean) => {
    try {
      await send('PATCH', userPath(user), { body: { disabled } });
      await client.invalidateQueries({ queryKey: keys.users });
    } catch (error) {
      toast('danger', user.name, <ErrorDetails error={error} withSentence />);
    }
  };
  return (user) => [
    { title: m.users.changeRole, run: () => ask({ what: 'role', user }) },
    { title: m.users.setPassword, run: () => ask({ what: 'password', user }) },
    { title: user.disabled ? m.users.enable : m.users.disable, run: () => void able(user, !user.disabled) },
    'line',
    { title: m.users.remove, isDanger: true, run: () => ask({ what: 'delete', user }) },
  ];
}

function DeleteUser({ user, close }: { user: User; close: () => void }) {
  const client = useQueryClient();
  const run = async () => {
    await send('DELETE', userPath(user));
    await client.invalidateQueries({ queryKey: keys.users });
  };
  return (
    <Confirm title={m.users.removeTitle(user.name)} action={m.users.remove} isDanger run={run} close={close}>
      <p>{m.users.removeBody}</p>
    </Confirm>
  );
}
