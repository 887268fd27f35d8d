import { Card, CardBody, CardHeader, CardTitle } from '@patternfly/react-core';
import type { ReactNode } from 'react';

import { Logo } from '../app/Logo';

/** The page before one is signed in. */
export function Door({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="horcrux-door">
      <title>{`${title} · Horcrux`}</title>
      <main>
        <div className="horcrux-brand">
          <Logo />
          Horcrux
        </div>
        <Card isLarge>
          <CardHeader>
            <CardTitle component="h1">{title}</CardTitle>
          </CardHeader>
          <CardBody>{children}</CardBody>
        </Card>
      </main>
    </div>
  );
}
