import {
  Alert,
  Button,
  Checkbox,
  FormFieldGroup,
  FormFieldGroupHeader,
  FormSelect,
  FormSelectOption,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from '@patternfly/react-core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import type { CreatedToken, Scope } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { CopyText } from '../ui/CopyText';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';

const DAYS = { d30: 30, d90: 90, d365: 365, never: null };
type Ends = keyof typeof DAYS;
const DAY_S = 86_400;

/** A token with the rights that are ticked. Its secret is in the answer once, and nowhere afterwards. */
export function NewToken({ close }: { close: () => void }) {
  const { me } = useSession();
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [ends, setEnds] = useState<Ends>('d90');
  const [chosen, setChosen] = useState<ReadonlySet<Scope>>(() => new Set(me.scopes));
  const form = useMutation({
    mutationFn: () => {
      const days = DAYS[ends];
      const expires = days === null ? null : Math.floor(Date.now() / 1000) + days * DAY_S;
      return send<CreatedToken>('POST', '/api/auth/tokens', {
        body: { name, scopes: me.scopes.filter((scope) => chosen.has(scope)), expires_at: expires },
      });
    },
    onSuccess: () => client.invalidateQueries({ queryKey: keys.tokens }),
  });
  if (form.data) return <ShowOnce token={form.data.token} close={close} />;
  return (
    <FormDialog
      id="new-token"
      title={m.account.newToken}
      action={m.account.newToken}
      error={form.error}
      isPending={form.isPending}
      isReady={name !== '' && chosen.size > 0}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="token-name" name="name" label={m.account.tokenName} error={form.error} help={m.account.tokenNameHelp} isRequired>
        <TextInput id="token-name" value={name} validated={stateOf(form.error, 'name')} onChange={(_event, value) => setName(value)} />
      </Field>
      <Field id="token-ends" name="expires_at" label={m.account.tokenEnds} error={form.error}>
        <FormSelect id="token-ends" value={ends} onChange={(_event, value) => setEnds(value as Ends)}>
          {(Object.keys(DAYS) as Ends[]).map((each) => (
            <FormSelectOption key={each} value={each} label={m.account.ends[each]} />
          ))}
        </FormSelect>
      </Field>
      <Scopes scopes={me.scopes} chosen={chosen} setChosen={setChosen} />
    </FormDialog>
  );
}

interface ScopesProps {
  scopes: Scope[];
  chosen: ReadonlySet<Scope>;
  setChosen: (chosen: ReadonlySet<Scope>) => void;
}

function Scopes({ scopes, chosen, setChosen }: ScopesProps) {
  const toggle = (scope: Scope, isOn: boolean) => {
    const after = new Set(chosen);
    if (isOn) after.add(scope);
    else after.delete(scope);
    setChosen(after);
  };
  return (
    <FormFieldGroup
      header={
        <FormFieldGroupHeader
          titleText={{ text: m.account.tokenScopes, id: 'token-scopes' }}
          actions={
            <Button variant="link" isInline onClick={() => setChosen(new Set(chosen.size === 0 ? scopes : []))}>
              {m.none}
            </Button>
          }
        />
      }
    >
      {[...scopes].sort().map((scope) => (
        <Checkbox
          key={scope}
          id={`scope-${scope}`}
          label={m.scopes[scope] ?? scope}
          description={scope}
          isChecked={chosen.has(scope)}
          onChange={(_event, isOn) => toggle(scope, isOn)}
        />
      ))}
    </FormFieldGroup>
  );
}

function ShowOnce({ token, close }: { token: string; close: () => void }) {
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="token-once">
      <ModalHeader title={m.account.onceTitle} labelId="token-once" />
      <ModalBody>
        <Alert isInline variant="warning" title={m.account.once} />
        <br />
        <CopyText text={token} />
      </ModalBody>
      <ModalFooter>
        <Button onClick={close}>{m.close}</Button>
      </ModalFooter>
    </Modal>
  );
}
