import { Button, PageSection } from '@patternfly/react-core';
import { Component, type ReactNode } from 'react';
import { useLocation } from 'react-router';

import { m } from '../messages';
import { ErrorAlert } from '../ui/ErrorAlert';

/** A room that breaks says so in its place; the frame stays, and going elsewhere clears it. */
export function Catch({ children }: { children: ReactNode }) {
  const { pathname } = useLocation();
  return <Boundary key={pathname}>{children}</Boundary>;
}

class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override render() {
    if (this.state.error === null) return this.props.children;
    return (
      <PageSection hasBodyWrapper={false}>
        <ErrorAlert error={this.state.error} title={m.error.roomBroke} />
        <Button variant="link" onClick={() => location.reload()}>
          {m.error.reloadPage}
        </Button>
      </PageSection>
    );
  }
}
