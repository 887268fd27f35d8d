import { Button, FileUpload, Progress, TextInput } from '@patternfly/react-core';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';

import { useToast } from '../app/toasts';
import { m } from '../messages';
import { Field, stateOf } from '../ui/Field';
import { FormDialog } from '../ui/FormDialog';
import { bytes } from '../ui/format';
import { type Upload, upload } from './upload';

export function UploadImage({ pool, close }: { pool: string; close: () => void }) {
  const toast = useToast();
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState('');
  const [sha256, setSha256] = useState('');
  const [sent, setSent] = useState(0);
  const running = useRef<Upload | null>(null);
  useEffect(() => () => running.current?.stop(), []);
  const form = useMutation({
    mutationFn: async (body: File) => {
      running.current = upload({ pool, name, file: body, sha256: sha256.trim() }, setSent);
      await running.current.done;
    },
    onSuccess: () => {
      toast('success', m.storage.uploadDone(name));
      close();
    },
  });
  const wasStopped = form.error instanceof DOMException;
  return (
    <FormDialog
      id="upload-image"
      title={m.storage.upload}
      action={m.storage.upload}
      error={wasStopped ? null : form.error}
      isPending={form.isPending}
      isReady={file !== null && name !== ''}
      submit={() => file && form.mutate(file)}
      close={close}
    >
      <Field id="upload-file" name="" label={m.storage.file} error={null} isRequired>
        <FileUpload
          id="upload-file"
          hideDefaultPreview
          browseButtonText={m.storage.chooseFile}
          filename={file?.name ?? ''}
          isDisabled={form.isPending}
          onFileInputChange={(_event, chosen) => {
            setFile(chosen);
            if (!name) setName(chosen.name);
          }}
          onClearClick={() => setFile(null)}
        />
      </Field>
      <ImageNameField value={name} change={setName} error={form.error} />
      <ChecksumField value={sha256} change={setSha256} error={form.error} />
      {form.isPending && file && (
        <>
          <UploadProgress file={file} sent={sent} />
          <Button variant="link" isDanger isInline onClick={() => running.current?.stop()}>
            {m.storage.stopUpload}
          </Button>
        </>
      )}
    </FormDialog>
  );
}

function UploadProgress({ file, sent }: { file: File; sent: number }) {
  const isSent = sent >= file.size;
  return (
    <Progress
      value={file.size === 0 ? 100 : (sent / file.size) * 100}
      title={isSent ? m.storage.checking : m.storage.uploading(file.name)}
      label={m.storage.uploaded(bytes(Math.min(sent, file.size)), bytes(file.size))}
    />
  );
}

interface TextFieldProps {
  value: string;
  change: (value: string) => void;
  error: unknown;
}

export function ImageNameField({ value, change, error }: TextFieldProps) {
  return (
    <Field id="image-name" name="name" label={m.storage.imageName} error={error} help={m.storage.imageNameHelp} isRequired>
      <TextInput id="image-name" value={value} validated={stateOf(error, 'name')} onChange={(_event, text) => change(text)} />
    </Field>
  );
}

export function ChecksumField({ value, change, error }: TextFieldProps) {
  return (
    <Field id="image-sha256" name="sha256" label={m.storage.checksum} error={error} help={m.storage.checksumHelp}>
      <TextInput
        id="image-sha256"
        className="horcrux-mono"
        value={value}
        validated={stateOf(error, 'sha256')}
        onChange={(_event, text) => change(text)}
      />
    </Field>
  );
}
