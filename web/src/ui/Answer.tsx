import { Bullseye, Button, PageSection, Spinner } from '@patternfly/react-core';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';

import { m } from '../messages';
import { ErrorAlert } from './ErrorAlert';

/** What a query has: its data, else why not with a way to try again, else that it is coming. Old data stays while an
 * error passes, so rows never vanish. */
export function Answer<T>({ query, children }: { query: UseQueryResult<T>; children: (value: T) => ReactNode }) {
  if (query.data !== undefined) return children(query.data);
  if (query.error) {
    return (
      <PageSection hasBodyWrapper={false}>
        <ErrorAlert error={query.error} />
        <Button variant="link" isLoading={query.isFetching} onClick={() => void query.refetch()}>
          {m.tryAgain}
        </Button>
      </PageSection>
    );
  }
  return (
    <Bullseye>
      <Spinner aria-label={m.loading} />
    </Bullseye>
  );
}
