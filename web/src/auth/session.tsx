import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, createContext, useCallback, useContext, useEffect, useMemo } from 'react';

import { keys } from '../api/cache';
import { get, send, whenSignedOut } from '../api/client';
import { isApiError } from '../api/errors';
import type { Me, Scope } from '../api/types';

interface Session {
  me: Me;
  may: (scope: Scope) => boolean;
  signOut: () => Promise<void>;
}

const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('useSession outside of a session');
  return session;
}

interface ProviderProps {
  /** Shown while nobody is signed in, at whatever address: signing in leads back to it. */
  signIn: ReactNode;
  waiting: ReactNode;
  children: ReactNode;
}

/** Knows who is signed in; null in the cache means nobody. */
export function SessionProvider({ signIn, waiting, children }: ProviderProps) {
  const client = useQueryClient();
  const query = useQuery({ queryKey: keys.me, queryFn: whoAmI });
  const forget = useCallback(() => {
    client.removeQueries({ predicate: (other) => other.queryKey[0] !== 'me' });
    client.setQueryData(keys.me, null);
  }, [client]);
  useEffect(() => whenSignedOut(forget), [forget]);
  const me = query.data;
  const session = useMemo<Session | null>(() => {
    if (!me) return null;
    return {
      me,
      may: (scope) => me.scopes.includes(scope),
      signOut: async () => {
        await send('POST', '/api/auth/logout');
        forget();
      },
    };
  }, [me, forget]);
  if (query.isPending) return waiting;
  return session ? <SessionContext value={session}>{children}</SessionContext> : signIn;
}

async function whoAmI(): Promise<Me | null> {
  try {
    return await get<Me>('/api/auth/me');
  } catch (error) {
    if (isApiError(error) && error.status === 401) return null;
    throw error;
  }
}
