import { FormGroup, FormHelperText, HelperText, HelperTextItem } from '@patternfly/react-core';
import type { ReactNode } from 'react';

import { problemOf } from '../api/errors';

interface FieldProps {
  id: string;
  label: string;
  /** Name of the field in the API, under which the server reports problems. */
  name: string;
  error: unknown;
  help?: ReactNode;
  isRequired?: boolean;
  children: ReactNode;
}

/** A field of a form with the server's objection beside it. */
export function Field({ id, label, name, error, help, isRequired, children }: FieldProps) {
  const problem = problemOf(error, name);
  return (
    <FormGroup label={label} fieldId={id} isRequired={isRequired}>
      {children}
      {(problem ?? help) && (
        <FormHelperText>
          <HelperText id={`${id}-help`} aria-live="polite">
            <HelperTextItem variant={problem ? 'error' : 'default'}>{problem ?? help}</HelperTextItem>
          </HelperText>
        </FormHelperText>
      )}
    </FormGroup>
  );
}

export function stateOf(error: unknown, name: string): 'error' | 'default' {
  return problemOf(error, name) ? 'error' : 'default';
}
