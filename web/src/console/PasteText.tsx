import { Button, Form, FormGroup, Modal, ModalBody, ModalFooter, ModalHeader, TextArea } from '@patternfly/react-core';
import { useState } from 'react';

import { m } from '../messages';

/** A page that is not on https may not read the clipboard; a box to paste into works everywhere. */
export function PasteText({ send, close }: { send: (text: string) => void; close: () => void }) {
  const [text, setText] = useState('');
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="paste-title">
      <ModalHeader title={m.console.paste} labelId="paste-title" description={m.console.pasteHow} />
      <ModalBody>
        <Form
          id="paste-form"
          onSubmit={(event) => {
            event.preventDefault();
            close();
            send(text);
          }}
        >
          <FormGroup label={m.console.text} fieldId="paste-text">
            <TextArea
              id="paste-text"
              rows={8}
              spellCheck={false}
              className="horcrux-mono"
              value={text}
              onChange={(_event, value) => setText(value)}
            />
          </FormGroup>
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button form="paste-form" type="submit" isDisabled={text === ''}>
          {m.console.pasteSend}
        </Button>
        <Button variant="link" onClick={close}>
          {m.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
