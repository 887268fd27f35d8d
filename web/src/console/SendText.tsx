import { Button, Content, Form, Modal, ModalBody, ModalFooter, ModalHeader, TextArea } from '@patternfly/react-core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';

import { send } from '../api/client';
import { vmPath } from '../api/queries';
import { m } from '../messages';
import { ErrorAlert } from '../ui/ErrorAlert';
import { Field, stateOf } from '../ui/Field';

/** Types a text into the guest, where there is no clipboard to share. */
export function SendText({ vmId, close }: { vmId: string; close: () => void }) {
  const [text, setText] = useState('');
  const type = useMutation({
    mutationFn: () => send('POST', `${vmPath(vmId)}/sendkeys`, { body: { text } }),
    onSuccess: close,
  });
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="send-text-title">
      <ModalHeader title={m.console.sendText} labelId="send-text-title" />
      <ModalBody>
        <Content component="p">{m.console.sendTextHow}</Content>
        {type.error && <ErrorAlert error={type.error} />}
        <Form
          id="send-text"
          onSubmit={(event) => {
            event.preventDefault();
            type.mutate();
          }}
        >
          <Field id="send-text-field" name="text" label={m.console.text} error={type.error}>
            <TextArea
              id="send-text-field"
              rows={5}
              spellCheck={false}
              className="horcrux-mono"
              validated={stateOf(type.error, 'text')}
              value={text}
              onChange={(_event, value) => setText(value)}
            />
          </Field>
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button form="send-text" type="submit" isDisabled={text === ''} isLoading={type.isPending}>
          {m.console.send}
        </Button>
        <Button variant="link" onClick={close}>
          {m.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
