import { EmptyState, EmptyStateBody, EmptyStateFooter } from '@patternfly/react-core';
import { SearchIcon } from '@patternfly/react-icons';

import { m } from '../messages';
import { LinkButton } from '../ui/LinkButton';

interface NotFoundProps {
  title?: string;
  body?: string;
  back?: { to: string; text: string };
}

/** An address, or an id in it, that is nothing's. */
export function NotFound({ title, body, back }: NotFoundProps) {
  const way = back ?? { to: '/', text: m.notFound.home };
  return (
    <>
      <title>{`${m.notFound.title} · Horcrux`}</title>
      <EmptyState titleText={title ?? m.notFound.title} headingLevel="h1" icon={SearchIcon} isFullHeight>
        <EmptyStateBody className="horcrux-wrap">{body ?? m.notFound.body}</EmptyStateBody>
        <EmptyStateFooter>
          <LinkButton to={way.to}>{way.text}</LinkButton>
        </EmptyStateFooter>
      </EmptyState>
    </>
  );
}
