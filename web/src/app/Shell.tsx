import { Banner, Bullseye, Page, SkipToContent, Spinner } from '@patternfly/react-core';
import { Suspense } from 'react';
import { Outlet } from 'react-router';

import { m } from '../messages';
import { useTaskAddress } from '../tasks/address';
import { clock } from '../ui/format';
import { Catch } from './Catch';
import { Header } from './Header';
import { Side } from './Side';
import { useStreamState } from './live';
import { Enter } from './rooms';

const MAIN = 'main-content';

/** The frame around every room: header, navigation, task drawer, and the honest banner when the stream is cut. */
export function Shell() {
  const tasks = useTaskAddress();
  return (
    <Page
      isManagedSidebar
      mainContainerId={MAIN}
      isContentFilled
      skipToContent={<SkipToContent href={`#${MAIN}`}>{m.skip}</SkipToContent>}
      masthead={<Header />}
      sidebar={<Side />}
      notificationDrawer={tasks.isOpen ? <Enter room="drawer" /> : undefined}
      isNotificationDrawerExpanded={tasks.isOpen}
    >
      <StaleBanner />
      <Catch>
        <Suspense
          fallback={
            <Bullseye>
              <Spinner aria-label={m.loading} />
            </Bullseye>
          }
        >
          <Outlet />
        </Suspense>
      </Catch>
    </Page>
  );
}

function StaleBanner() {
  const { phase, heardAt } = useStreamState();
  return (
    <div role="status">
      {phase === 'stale' && (
        <Banner status="warning" screenReaderText={m.stale.word}>
          {m.stale.since(clock(heardAt))}
        </Banner>
      )}
    </div>
  );
}
