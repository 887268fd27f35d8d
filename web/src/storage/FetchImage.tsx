import { TextInput } from '@patternfly/react-core';
import { useState } from 'react';

import { start } from '../api/client';
import { poolPath } from '../api/queries';
import { m } from '../messages';
import { useTaskForm } from '../tasks/useTaskForm';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { ChecksumField, ImageNameField } from './UploadImage';

export function FetchImage({ pool, close }: { pool: string; close: () => void }) {
  const [url, setUrl] = useState('');
  const [name, setName] = useState('');
  const [sha256, setSha256] = useState('');
  const body = { name: name || lastPart(url), url, ...(sha256.trim() && { sha256: sha256.trim() }) };
  const form = useTaskForm(() => start('POST', `${poolPath(pool)}/images`, { body }), close);
  return (
    <FormDialog
      id="fetch-image"
      title={m.storage.fetch}
      action={m.storage.fetch}
      error={form.error}
      isPending={form.isPending}
      isReady={url !== '' && body.name !== ''}
      submit={() => form.mutate()}
      close={close}
    >
      <Field id="image-url" name="url" label={m.storage.url} error={form.error} help={m.storage.urlHelp} isRequired>
        <TextInput
          id="image-url"
          type="text"
          inputMode="url"
          value={url}
          validated={stateOf(form.error, 'url')}
          onChange={(_event, value) => setUrl(value)}
        />
      </Field>
      <ImageNameField value={name || lastPart(url)} change={setName} error={form.error} />
      <ChecksumField value={sha256} change={setSha256} error={form.error} />
    </FormDialog>
  );
}

function lastPart(url: string): string {
  return url.split(/[?#]/)[0]?.split('/').pop() ?? '';
}
