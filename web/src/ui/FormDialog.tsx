import { Button, Form, Modal, ModalBody, ModalFooter, ModalHeader } from '@patternfly/react-core';
import type { ReactNode } from 'react';

import { isApiError } from '../api/errors';
import { m } from '../messages';
import { ErrorAlert } from './ErrorAlert';

interface FormDialogProps {
  id: string;
  title: string;
  description?: string;
  action: string;
  error: unknown;
  isPending: boolean;
  isReady: boolean;
  submit: () => void;
  close: () => void;
  children: ReactNode;
}

/** A dialog that is one form. An error without fields stands above it; one with fields stands beside each. */
export function FormDialog(props: FormDialogProps) {
  const { id, title, description, action, error, isPending, isReady, submit, close, children } = props;
  const hasFields = isApiError(error) && error.fields.length > 0;
  return (
    <Modal isOpen variant="small" onClose={close} aria-labelledby={`${id}-title`}>
      <ModalHeader title={title} description={description} labelId={`${id}-title`} />
      <ModalBody>
        <Form
          id={id}
          onSubmit={(event) => {
            event.preventDefault();
            submit();
          }}
        >
          {error !== null && error !== undefined && !hasFields && <ErrorAlert error={error} />}
          {children}
        </Form>
      </ModalBody>
      <ModalFooter>
        <Button form={id} type="submit" isLoading={isPending} isDisabled={isPending || !isReady}>
          {action}
        </Button>
        <Button variant="link" onClick={close}>
          {m.cancel}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
