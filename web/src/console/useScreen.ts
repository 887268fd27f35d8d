import RFB from '@novnc/novnc';
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';

import { sentence } from '../ui/ErrorAlert';
import { consoleAddress, retryAfter } from './socket';

export type ScreenPhase = 'connecting' | 'live' | 'lost' | 'off';

interface Screen {
  phase: ScreenPhase;
  /** Why the server refused a ticket. */
  refusal: string | null;
  rfb: RefObject<RFB | null>;
  again: () => void;
}

interface ScreenLook {
  isScaled: boolean;
  isViewOnly: boolean;
}

/** noVNC in `box` while `isOn`: connects, and connects again when the way breaks. Leaving always disconnects, or a second
 * session would stay open (StrictMode mounts twice). */
export function useScreen(box: RefObject<HTMLDivElement | null>, vmId: string, isOn: boolean, look: ScreenLook): Screen {
  const rfb = useRef<RFB | null>(null);
  const tries = useRef(0);
  const lookNow = useRef(look);
  const [phase, setPhase] = useState<ScreenPhase>('connecting');
  const [refusal, setRefusal] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((before) => before + 1), []);

  useEffect(() => {
    lookNow.current = look;
    if (rfb.current) dress(rfb.current, look);
  }, [look]);

  useEffect(() => {
    if (!isOn || !box.current) {
      setPhase('off');
      return;
    }
    const target = box.current;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    setPhase((before) => (before === 'lost' ? 'lost' : 'connecting'));
    const lost = () => {
      rfb.current = null;
      if (abort.signal.aborted) return;
      setPhase('lost');
      timer = setTimeout(again, retryAfter(tries.current));
      tries.current += 1;
    };
    consoleAddress(vmId, 'vnc', abort.signal).then(
      (address) => {
        if (abort.signal.aborted) return;
        const session = new RFB(target, address, { shared: true, wsProtocols: ['binary'] });
        rfb.current = session;
        dress(session, lookNow.current);
        session.addEventListener('connect', () => {
          tries.current = 0;
          setRefusal(null);
          setPhase('live');
          session.focus();
        });
        session.addEventListener('disconnect', lost);
      },
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setRefusal(sentence(error));
        lost();
      },
    );
    return () => {
      abort.abort();
      clearTimeout(timer);
      rfb.current?.disconnect();
      rfb.current = null;
      target.replaceChildren();
    };
  }, [box, vmId, isOn, round, again]);

  return { phase, refusal, rfb, again };
}

function dress(rfb: RFB, look: ScreenLook): void {
  rfb.scaleViewport = look.isScaled;
  rfb.clipViewport = !look.isScaled;
  rfb.dragViewport = false;
  rfb.viewOnly = look.isViewOnly;
  rfb.background = '#0b0a10';
}
