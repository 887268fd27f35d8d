import { Bullseye, Spinner } from '@patternfly/react-core';
import { QueryClientProvider, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, Suspense, lazy, useCallback, useEffect, useState } from 'react';
import { BrowserRouter, Route, Routes } from 'react-router';

import { keys, newQueryClient } from '../api/cache';
import { SessionProvider } from '../auth/session';
import { m } from '../messages';
import { WatchProvider } from '../tasks/watch';
import { NotFound } from './NotFound';
import { Shell } from './Shell';
import { Live } from './live';
import { Enter, fetchAhead } from './rooms';
import { ToastProvider } from './toasts';

const SetUp = lazy(() => import('../auth/SetUp'));
const SignIn = lazy(() => import('../auth/SignIn'));

const waiting = (
  <Bullseye>
    <Spinner aria-label={m.loading} />
  </Bullseye>
);

export function App() {
  const [client] = useState(newQueryClient);
  return (
    <QueryClientProvider client={client}>
      <BrowserRouter>
        <ToastProvider>
          <Suspense fallback={waiting}>
            <SetUpFirst>
              <SessionProvider signIn={<SignIn />} waiting={waiting}>
                <Rooms />
              </SessionProvider>
            </SetUpFirst>
          </Suspense>
        </ToastProvider>
      </BrowserRouter>
    </QueryClientProvider>
  );
}

const SETUP_HASH = '#setup=';

/** The agent's one-use link carries its secret behind the `#`, which never reaches a server's log. */
function SetUpFirst({ children }: { children: ReactNode }) {
  const [secret, setSecret] = useState(() =>
    location.hash.startsWith(SETUP_HASH) ? decodeURIComponent(location.hash.slice(SETUP_HASH.length)) : null,
  );
  const done = useCallback(() => {
    history.replaceState(null, '', '/');
    setSecret(null);
  }, []);
  return secret === null ? children : <SetUp secret={secret} done={done} />;
}

function Rooms() {
  const client = useQueryClient();
  useEffect(() => fetchAhead(client), [client]);
  const signedOut = useCallback(() => void client.invalidateQueries({ queryKey: keys.me }), [client]);
  return (
    <Live waiting={waiting} signedOut={signedOut}>
      <WatchProvider>
        <Routes>
          <Route element={<Shell />}>
            <Route index element={<Enter room="overview" />} />
            <Route path="vms" element={<Enter room="vms" />} />
            <Route path="vms/new" element={<Enter room="newVm" />} />
            <Route path="vms/:id/:tab?" element={<Enter room="vm" />} />
            <Route path="storage" element={<Enter room="storage" />} />
            <Route path="storage/:pool/:tab?" element={<Enter room="pool" />} />
            <Route path="quotas" element={<Enter room="quotas" />} />
            <Route path="templates" element={<Enter room="templates" />} />
            <Route path="templates/:id" element={<Enter room="template" />} />
            <Route path="peers" element={<Enter room="peers" />} />
            <Route path="tasks" element={<Enter room="tasks" />} />
            <Route path="account/:tab?" element={<Enter room="account" />} />
            <Route path="users" element={<Enter room="users" />} />
            <Route path="*" element={<NotFound />} />
          </Route>
        </Routes>
      </WatchProvider>
    </Live>
  );
}
