import { Button, type ButtonProps } from '@patternfly/react-core';
import type { ElementType } from 'react';
import { Link } from 'react-router';

/** Looks like a button, goes somewhere: a link that can be opened in another tab. */
export function LinkButton({ to, ...props }: Omit<ButtonProps, 'component'> & { to: string }) {
  const target = { to };
  return <Button {...props} {...target} component={Link as ElementType} />;
}
