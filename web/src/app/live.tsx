import { useQueryClient } from '@tanstack/react-query';
import { type ReactNode, createContext, useContext, useEffect, useState } from 'react';

import { takeEvent } from '../api/cache';
import { EventStream, type StreamState } from '../api/stream';

const StreamContext = createContext<StreamState>({ phase: 'connecting', heardAt: 0 });

export function useStreamState(): StreamState {
  return useContext(StreamContext);
}

interface LiveProps {
  waiting: ReactNode;
  signedOut: () => void;
  children: ReactNode;
}

const LISTS_NOT_FOLLOWED = new Set(['me', 'setup', 'task-log', 'part']);

/** Holds the event stream open while somebody is signed in. The rooms appear once it is (or has failed to be), so that
 * no list is read before the events that change it can be heard. */
export function Live({ waiting, signedOut, children }: LiveProps) {
  const client = useQueryClient();
  const [state, setState] = useState<StreamState>({ phase: 'connecting', heardAt: Date.now() });
  useEffect(() => {
    const stream = new EventStream('/api/events', {
      event: (event) => takeEvent(client, event),
      reset: () =>
        void client.invalidateQueries({ predicate: (query) => !LISTS_NOT_FOLLOWED.has(String(query.queryKey[0])) }),
      state: (now) => {
        setState(now);
        if (now.phase === 'live') void client.refetchQueries({ predicate: (query) => query.state.status === 'error' });
      },
      signedOut,
    });
    stream.open();
    return () => stream.close();
  }, [client, signedOut]);
  if (state.phase === 'connecting') return waiting;
  return <StreamContext value={state}>{children}</StreamContext>;
}
