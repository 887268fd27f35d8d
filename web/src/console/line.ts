/** A serial line over a websocket: raw bytes both ways. Typing is fed in small pieces, as fast as a UART takes them, so
 * that a long paste arrives whole. */

import { CLOSED, consoleAddress, retryAfter } from './socket';

export type LinePhase = 'connecting' | 'live' | 'lost' | 'off';

export interface LineListener {
  bytes(data: Uint8Array): void;
  phase(phase: LinePhase, reason: string): void;
  /** A new connection begins with the last 64 KiB again. */
  fresh(): void;
}

const PIECE_BYTES = 256;
const PIECE_EVERY_MS = 20;
const UNSENT_LIMIT_BYTES = 4096;

export class SerialLine {
  private socket: WebSocket | null = null;
  private tries = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private feeder: ReturnType<typeof setTimeout> | undefined;
  private waiting: Uint8Array[] = [];
  private readonly abort = new AbortController();

  constructor(
    private readonly vmId: string,
    private readonly listener: LineListener,
  ) {}

  open(): void {
    this.listener.phase('connecting', '');
    consoleAddress(this.vmId, 'serial', this.abort.signal).then(
      (address) => this.connect(address),
      (error: unknown) => this.lost(error instanceof Error ? error.message : String(error)),
    );
  }

  close(): void {
    this.abort.abort();
    clearTimeout(this.retry);
    clearTimeout(this.feeder);
    this.socket?.close();
  }

  type(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) this.waiting.push(bytes.subarray(at, at + PIECE_BYTES));
    if (this.feeder === undefined) this.feed();
  }

  private feed(): void {
    this.feeder = undefined;
    const socket = this.socket;
    if (socket?.readyState !== WebSocket.OPEN) {
      this.waiting = [];
      return;
    }
    const isFull = socket.bufferedAmount > UNSENT_LIMIT_BYTES;
    const piece = isFull ? undefined : this.waiting.shift();
    if (piece) socket.send(piece.slice());
    if (this.waiting.length > 0) this.feeder = setTimeout(() => this.feed(), PIECE_EVERY_MS);
  }

  private connect(address: string): void {
    if (this.abort.signal.aborted) return;
    const socket = new WebSocket(address);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onopen = () => {
      this.tries = 0;
      this.listener.fresh();
      this.listener.phase('live', '');
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) =>
      this.listener.bytes(typeof event.data === 'string' ? new TextEncoder().encode(event.data) : new Uint8Array(event.data));
    socket.onclose = (event) => {
      this.socket = null;
      if (event.code === CLOSED.vmStopped || event.code === CLOSED.sessionEnded) this.listener.phase('off', event.reason);
      else this.lost(event.reason);
    };
  }

  private lost(reason: string): void {
    if (this.abort.signal.aborted) return;
    this.listener.phase('lost', reason);
    this.retry = setTimeout(() => this.open(), retryAfter(this.tries));
    this.tries += 1;
  }
}
