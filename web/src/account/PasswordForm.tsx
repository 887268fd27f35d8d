import { ActionGroup, Button, Form } from '@patternfly/react-core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';

import { send } from '../api/client';
import { isApiError } from '../api/errors';
import { useToast } from '../app/toasts';
import { PasswordInput } from '../auth/PasswordInput';
import { m } from '../messages';
import { ErrorAlert } from '../ui/ErrorAlert';
import { Field } from '../ui/Field';

export function PasswordForm() {
  const toast = useToast();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [again, setAgain] = useState('');
  const isMistyped = again !== '' && again !== next;
  const change = useMutation({
    mutationFn: () => send('POST', '/api/auth/password', { body: { current, new: next, cookie: true } }),
    onSuccess: () => {
      setCurrent('');
      setNext('');
      setAgain('');
      toast('success', m.account.changed);
    },
  });
  const hasFields = isApiError(change.error) && change.error.fields.length > 0;
  return (
    <Form
      isWidthLimited
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate();
      }}
    >
      {change.error && !hasFields && <ErrorAlert error={change.error} />}
      <Field id="current" name="current" label={m.account.current} error={change.error} isRequired>
        <PasswordInput id="current" autoComplete="current-password" value={current} onChange={setCurrent} />
      </Field>
      <Field id="next" name="new" label={m.setUp.newPassword} error={change.error} help={m.setUp.passwordHelp} isRequired>
        <PasswordInput id="next" autoComplete="new-password" value={next} onChange={setNext} />
      </Field>
      <Field id="again" name="" label={m.setUp.again} error={null} help={isMistyped ? m.setUp.differs : undefined} isRequired>
        <PasswordInput id="again" autoComplete="new-password" isInvalid={isMistyped} value={again} onChange={setAgain} />
      </Field>
      <ActionGroup>
        <Button type="submit" isLoading={change.isPending} isDisabled={!current || !next || again !== next || change.isPending}>
          {m.account.change}
        </Button>
      </ActionGroup>
    </Form>
  );
}
