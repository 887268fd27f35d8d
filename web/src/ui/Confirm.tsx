import {
  Button,
  Form,
  FormGroup,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from '@patternfly/react-core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';

import { m } from '../messages';
import { ErrorAlert } from './ErrorAlert';

interface ConfirmProps {
  title: string;
  children: ReactNode;
  action: string;
  isDanger?: boolean;
  /** The user has to type this before the button works. */
  typed?: string;
  /** It cannot be done now, for a reason that stands in the body. */
  isBlocked?: boolean;
  run: () => Promise<unknown>;
  close: () => void;
}

/** Asks before what cannot be taken back. Focus returns to where it was (PatternFly's focus trap). */
export default function Confirm({ title, children, action, isDanger, typed, isBlocked, run, close }: ConfirmProps) {
  const [text, setText] = useState('');
  const mutation = useMutation({ mutationFn: run, onSuccess: close });
  const isReady = !isBlocked && (typed === undefined || text === typed);
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby="confirm-title" aria-describedby="confirm-body">
      <ModalHeader title={title} titleIconVariant={isDanger ? 'warning' : undefined} labelId="confirm-title" />
      <ModalBody id="confirm-body" className="horcrux-wrap">
        {children}
        {typed !== undefined && (
          <Form
            onSubmit={(event) => {
              event.preventDefault();
              if (isReady) mutation.mutate();
            }}
          >
            <FormGroup label={m.confirm.typeName(typed)} fieldId="confirm-typed">
              <TextInput id="confirm-typed" autoComplete="off" value={text} onChange={(_event, value) => setText(value)} />
            </FormGroup>
          </Form>
        )}
        {mutation.error && <ErrorAlert error={mutation.error} />}
      </ModalBody>
      <ModalFooter>
        <Button
          variant={isDanger ? 'danger' : 'primary'}
          isDisabled={!isReady}
          isLoading={mutation.isPending}
          onClick={() => mutation.mutate()}
        >
          {action}
        </Button>
        <Button variant="link" onClick={close}>
          {m.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
