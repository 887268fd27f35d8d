import { TextArea, TextInput } from '@patternfly/react-core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import { m } from '../messages';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';

export function NewPeer({ close }: { close: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState('');
  const [url, setUrl] = useState('');
  const [certificate, setCertificate] = useState('');
  const form = useMutation({
    mutationFn: () => send('POST', '/api/peers', { body: { name, url: url.trim(), certificate } }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: keys.peers });
      close();
    },
  });
  const { error } = form;
  return (
    <FormDialog
      id="new-peer"
      title={m.peer.add}
      action={m.peer.add}
      error={error}
      isPending={form.isPending}
      isReady={name !== '' && url !== '' && certificate.trim() !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="peer-name" name="name" label={m.peer.name} error={error} isRequired>
        <TextInput
          id="peer-name"
          autoCapitalize="none"
          value={name}
          validated={stateOf(error, 'name')}
          onChange={(_event, value) => setName(value)}
        />
      </Field>
      <Field id="peer-url" name="url" label={m.peer.url} error={error} help={m.peer.urlHelp} isRequired>
        <TextInput
          id="peer-url"
          inputMode="url"
          autoCapitalize="none"
          value={url}
          validated={stateOf(error, 'url')}
          onChange={(_event, value) => setUrl(value)}
        />
      </Field>
      <Field id="peer-certificate" name="certificate" label={m.peer.certificate} error={error} help={m.peer.certificateHelp} isRequired>
        <TextArea
          id="peer-certificate"
          className="horcrux-mono"
          rows={6}
          resizeOrientation="vertical"
          spellCheck={false}
          value={certificate}
          validated={stateOf(error, 'certificate')}
          onChange={(_event, value) => setCertificate(value)}
        />
      </Field>
    </FormDialog>
  );
}
