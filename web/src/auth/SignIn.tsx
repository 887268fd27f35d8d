import { ActionGroup, Alert, Button, Form, FormGroup, TextInput } from '@patternfly/react-core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { get, send } from '../api/client';
import type { SetupNeeded } from '../api/types';
import { m } from '../messages';
import { ErrorAlert } from '../ui/ErrorAlert';
import { Door } from './Door';
import { PasswordInput } from './PasswordInput';

export default function SignIn() {
  const client = useQueryClient();
  const [username, setUsername] = useState('');
  const [password, setPassword] = useState('');
  const setup = useQuery({ queryKey: ['setup'], queryFn: () => get<SetupNeeded>('/api/auth/setup'), retry: false });
  const signIn = useMutation({
    mutationFn: () => send('POST', '/api/auth/login', { body: { username, password, cookie: true } }),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.me }),
  });
  return (
    <Door title={m.signIn.title}>
      <Form
        onSubmit={(event) => {
          event.preventDefault();
          signIn.mutate();
        }}
      >
        {setup.data?.needed && (
          <Alert isInline variant="info" title={m.signIn.setupNeeded}>
            {m.signIn.setupHow}
          </Alert>
        )}
        {signIn.error && <ErrorAlert error={signIn.error} title={m.signIn.failed} />}
        <FormGroup label={m.signIn.username} fieldId="username" isRequired>
          <TextInput
            id="username"
            autoComplete="username"
            autoCapitalize="none"
            autoFocus // eslint-disable-line jsx-a11y/no-autofocus -- the page is this form
            isRequired
            value={username}
            onChange={(_event, value) => setUsername(value)}
          />
        </FormGroup>
        <FormGroup label={m.signIn.password} fieldId="password" isRequired>
          <PasswordInput id="password" autoComplete="current-password" value={password} onChange={setPassword} />
        </FormGroup>
        <ActionGroup>
          <Button type="submit" isBlock isLoading={signIn.isPending} isDisabled={!username || !password || signIn.isPending}>
            {m.signIn.action}
          </Button>
        </ActionGroup>
      </Form>
    </Door>
  );
}
