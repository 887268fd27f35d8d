import { Alert } from '@patternfly/react-core';

import { isApiError } from '../api/errors';
import { m } from '../messages';
import { TaskLink } from '../tasks/TaskLink';
import { CopyText } from './CopyText';

/** What went wrong, what to do next, and the number under which the server's log knows it. */
export function ErrorAlert({ error, title }: { error: unknown; title?: string }) {
  return (
    <Alert isInline variant="danger" title={title ?? sentence(error)} className="horcrux-wrap">
      <ErrorDetails error={error} withSentence={title !== undefined} />
    </Alert>
  );
}

export function ErrorDetails({ error, withSentence }: { error: unknown; withSentence: boolean }) {
  const next = nextStep(error);
  const requestId = isApiError(error) ? error.requestId : '';
  return (
    <>
      {withSentence && <p>{sentence(error)}</p>}
      {next && <p>{next}</p>}
      {isApiError(error) && error.task && (
        <p>
          <TaskLink id={error.task}>{m.error.showHolder}</TaskLink>
        </p>
      )}
      {requestId && (
        <div className="horcrux-line horcrux-quiet">
          {m.error.requestId}
          <CopyText text={requestId} />
        </div>
      )}
    </>
  );
}

export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function nextStep(error: unknown): string | null {
  if (!isApiError(error)) return m.error.reload;
  if (error.status === 429) return m.error.waitS(error.retryAfterS ?? 60);
  return m.error.next[error.code] ?? (error.status >= 500 ? m.error.next.internal : null) ?? null;
}
