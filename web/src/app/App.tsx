import { Bullseye, Spinner } from '@patternfly/react-core';
import { QueryClientProvider, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, Suspense, lazy, useCallback, useState } from 'react';
import { BrowserRouter, Route, Routes } from 'react-router';

import { keys, newQueryClient } from '../api/cache';
import { SessionProvider } from '../auth/session';
import { m } from '../messages';
import { WatchProvider } from '../tasks/watch';
import { NotFound } from './NotFound';
import { Shell } from './Shell';
import { Live } from './live';
import { ToastProvider } from './toasts';

const SetUp = lazy(() => import('../auth/SetUp'));
const SignIn = lazy(() => import('../auth/SignIn'));
const Overview = lazy(() => import('../overview/Overview'));
const TasksRoom = lazy(() => import('../tasks/TasksRoom'));
const VmList = lazy(() => import('../vm/VmList'));
const VmRoom = lazy(() => import('../vm/VmRoom'));
const NewVmRoom = lazy(() => import('../vm/NewVmRoom'));
const StorageRoom = lazy(() => import('../storage/StorageRoom'));
const PoolRoom = lazy(() => import('../storage/PoolRoom'));
const AccountRoom = lazy(() => import('../account/AccountRoom'));
const UsersRoom = lazy(() => import('../users/UsersRoom'));

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
  const signedOut = useCallback(() => void client.invalidateQueries({ queryKey: keys.me }), [client]);
  return (
    <Live waiting={waiting} signedOut={signedOut}>
      <WatchProvider>
        <Routes>
          <Route element={<Shell />}>
            <Route index element={<Overview />} />
            <Route path="vms" element={<VmList />} />
            <Route path="vms/new" element={<NewVmRoom />} />
            <Route path="vms/:id/:tab?" element={<VmRoom />} />
            <Route path="storage" element={<StorageRoom />} />
            <Route path="storage/:pool/:tab?" element={<PoolRoom />} />
            <Route path="tasks" element={<TasksRoom />} />
            <Route path="account/:tab?" element={<AccountRoom />} />
            <Route path="users" element={<UsersRoom />} />
            <Route path="*" element={<NotFound />} />
          </Route>
        </Routes>
      </WatchProvider>
    </Live>
  );
}
