/** The event stream's life: opened once, resumed where it broke, and honest about silence.
 *
 *     connecting --> live --(30 s of silence, or the connection ends)--> stale --> live
 */

import { SseParser } from './sse';

/** By hand: to the document the event stream is text. */
export interface StreamEvent {
  kind: string;
  id: string;
  at: number;
  data: Record<string, unknown> | null;
}

export interface StreamState {
  phase: 'connecting' | 'live' | 'stale';
  /** When anything was heard last, in milliseconds since the epoch. */
  heardAt: number;
}

export interface StreamListener {
  event(event: StreamEvent): void;
  /** What we know may have a gap: read the lists again. */
  reset(): void;
  state(state: StreamState): void;
  signedOut(): void;
}

const SILENCE_MS = 30_000;
const RETRY_MS = [500, 1000, 2000, 5000, 10_000];

export class EventStream {
  private lastId: string | null = null;
  private heardAt = Date.now();
  private tries = 0;
  private phase: StreamState['phase'] = 'connecting';
  private current: AbortController | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private closed = false;

  constructor(
    private readonly url: string,
    private readonly listener: StreamListener,
  ) {}

  open(): void {
    this.closed = false;
    void this.connect();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.current?.abort();
  }

  private async connect(): Promise<void> {
    const abort = new AbortController();
    this.current = abort;
    try {
      await this.read(abort);
    } catch (error) {
      // A cut connection, or our own abort after silence: both end in the retry below.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    } finally {
      abort.abort();
    }
    if (!this.isStopped()) this.retry();
  }

  private async read(abort: AbortController): Promise<void> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (this.lastId) headers['Last-Event-ID'] = this.lastId;
    const resumed = this.lastId !== null;
    const response = await fetch(this.url, { headers, signal: abort.signal, credentials: 'same-origin', cache: 'no-store' });
    if (response.status === 401) {
      this.close();
      this.listener.signedOut();
      return;
    }
    if (!response.ok || !response.body) return;
    this.heard(abort);
    if (!resumed) this.listener.reset();
    const parser = new SseParser({ message: (message) => this.take(message), heard: () => this.heard(abort) });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) parser.push(piece.value);
  }

  private take(message: { event: string; data: string; id: string | null }): void {
    if (message.id) this.lastId = message.id;
    if (message.event === 'reset') this.listener.reset();
    else if (message.data) this.listener.event(JSON.parse(message.data) as StreamEvent);
  }

  private heard(abort: AbortController): void {
    this.heardAt = Date.now();
    this.tries = 0;
    clearTimeout(this.silence);
    this.silence = setTimeout(() => abort.abort(), SILENCE_MS);
    this.enter('live');
  }

  private retry(): void {
    clearTimeout(this.silence);
    const wait = RETRY_MS[Math.min(this.tries, RETRY_MS.length - 1)] ?? 10_000;
    this.tries += 1;
    // One quick retry is a hiccup (a proxy that closes long answers); the second failure is news.
    if (this.tries > 1) this.enter('stale');
    this.timer = setTimeout(() => void this.connect(), wait);
  }

  private enter(phase: StreamState['phase']): void {
    if (phase === this.phase && phase !== 'live') return;
    const isNews = phase !== this.phase;
    this.phase = phase;
    if (isNews) this.listener.state({ phase, heardAt: this.heardAt });
  }

  private isStopped(): boolean {
    return this.closed;
  }
}
