import { ActionGroup, Alert, Button, Content, Form, Spinner, TextInput } from '@patternfly/react-core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { get, send } from '../api/client';
import type { SetupNeeded } from '../api/types';
import { m } from '../messages';
import { ErrorAlert } from '../ui/ErrorAlert';
import { Field, stateOf } from '../ui/Field';
import { Door } from './Door';
import { PasswordInput } from './PasswordInput';

/** The first start: the one-use link of the agent makes the first administrator. There is no default password. */
export default function SetUp({ secret, done }: { secret: string; done: () => void }) {
  const setup = useQuery({ queryKey: ['setup'], queryFn: () => get<SetupNeeded>('/api/auth/setup') });
  return (
    <Door title={m.setUp.title}>
      {setup.isPending && <Spinner aria-label={m.loading} />}
      {setup.error && <ErrorAlert error={setup.error} />}
      {setup.data?.needed === false && <AlreadyDone done={done} />}
      {setup.data?.needed && <SetUpForm secret={secret} done={done} />}
    </Door>
  );
}

function AlreadyDone({ done }: { done: () => void }) {
  return (
    <>
      <Alert isInline variant="info" title={m.setUp.already}>
        {m.setUp.alreadyHow}
      </Alert>
      <br />
      <Button isBlock onClick={done}>
        {m.setUp.toSignIn}
      </Button>
    </>
  );
}

function SetUpForm({ secret, done }: { secret: string; done: () => void }) {
  const client = useQueryClient();
  const [username, setUsername] = useState('admin');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const isMistyped = again !== '' && again !== password;
  const setUp = useMutation({
    mutationFn: () => send('POST', '/api/auth/setup', { body: { secret, username, password, cookie: true } }),
    onSuccess: async () => {
      done();
      await client.invalidateQueries({ queryKey: keys.me });
    },
  });
  return (
    <Form
      onSubmit={(event) => {
        event.preventDefault();
        setUp.mutate();
      }}
    >
      <Content component="p">{m.setUp.intro}</Content>
      {setUp.error && <ErrorAlert error={setUp.error} title={m.setUp.failed} />}
      <Field id="username" name="username" label={m.signIn.username} error={setUp.error} isRequired>
        <TextInput
          id="username"
          autoComplete="username"
          autoCapitalize="none"
          isRequired
          validated={stateOf(setUp.error, 'username')}
          value={username}
          onChange={(_event, value) => setUsername(value)}
        />
      </Field>
      <Field id="password" name="password" label={m.setUp.newPassword} error={setUp.error} help={m.setUp.passwordHelp} isRequired>
        <PasswordInput id="password" autoComplete="new-password" value={password} onChange={setPassword} />
      </Field>
      <Field id="again" name="" label={m.setUp.again} error={null} help={isMistyped ? m.setUp.differs : undefined} isRequired>
        <PasswordInput id="again" autoComplete="new-password" isInvalid={isMistyped} value={again} onChange={setAgain} />
      </Field>
      <ActionGroup>
        <Button type="submit" isBlock isLoading={setUp.isPending} isDisabled={!username || !password || again !== password}>
          {m.setUp.action}
        </Button>
      </ActionGroup>
    </Form>
  );
}
