/** The way to a console: a one-use ticket, then a websocket on our own origin. */

import { send } from '../api/client';
import type { ConsoleTicket } from '../api/types';

export type ConsoleKind = 'vnc' | 'serial';

/** Close codes of the agent's console sockets. */
export const CLOSED = { vmStopped: 4000, sessionEnded: 4001, crowded: 4004 } as const;

export const RETRY_MS = [500, 1000, 2000, 4000, 8000];

export function retryAfter(tries: number): number {
  return RETRY_MS[Math.min(tries, RETRY_MS.length - 1)] ?? 8000;
}

/** Address of a websocket that can be opened once, within 30 s. The ticket's own address may name another host (behind a
 * proxy); only its path counts here. */
export async function consoleAddress(vmId: string, kind: ConsoleKind, signal: AbortSignal): Promise<string> {
  const ticket = await send<ConsoleTicket>('POST', `/api/console/${encodeURIComponent(vmId)}/${kind}`, { signal });
  const path = kind === 'vnc' ? 'ws' : 'serial/ws';
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const query = new URLSearchParams({ ticket: ticket.ticket });
  return `${scheme}//${location.host}/api/console/${encodeURIComponent(vmId)}/${path}?${query.toString()}`;
}
