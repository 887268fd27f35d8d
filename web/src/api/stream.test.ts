import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { EventStream, type StreamEvent, type StreamState } from './stream';

/** A server whose answers the test writes piece by piece. */
class Server {
  readonly asked: Headers[] = [];
  private current: ReadableStreamDefaultController<Uint8Array> | null = null;
  status = 200;

  readonly fetch = (_url: string, init: RequestInit): Promise<Response> => {
    this.asked.push(new Headers(init.headers));
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.current = controller;
        init.signal?.addEventListener('abort', () => {
          try {
            controller.error(new DOMException('aborted', 'AbortError'));
          } catch {
            this.current = null; // it had ended already
          }
        });
      },
    });
    return Promise.resolve(new Response(this.status === 200 ? body : null, { status: this.status }));
  };

  async write(text: string): Promise<void> {
    this.current?.enqueue(new TextEncoder().encode(text));
    await vi.advanceTimersByTimeAsync(1);
  }

  async cut(): Promise<void> {
    this.current?.close();
    await vi.advanceTimersByTimeAsync(1);
  }
}

describe('the event stream', () => {
  const server = new Server();
  let events: StreamEvent[];
  let states: StreamState['phase'][];
  let resets: number;
  let signedOut: number;
  let stream: EventStream;

  beforeEach(async () => {
    vi.useFakeTimers();
    server.asked.length = 0;
    server.status = 200;
    vi.stubGlobal('fetch', server.fetch);
    events = [];
    states = [];
    resets = 0;
    signedOut = 0;
    stream = new EventStream('/api/events', {
      event: (event) => events.push(event),
      reset: () => (resets += 1),
      state: (state) => states.push(state.phase),
      signedOut: () => (signedOut += 1),
    });
    stream.open();
    await vi.advanceTimersByTimeAsync(1);
  });

  afterEach(() => {
    stream.close();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const frame = (id: string) => `id: ${id}\nevent: vm\ndata: {"kind":"vm","id":"vm-1","at":1,"data":null}\n\n`;

  it('goes on behind the last event after a cut, without listing again', async () => {
    await server.write(frame('boot.7'));
    const before = resets;
    await server.cut();
    await vi.advanceTimersByTimeAsync(600);
    expect(server.asked.map((headers) => headers.get('Last-Event-ID'))).toEqual([null, 'boot.7']);
    expect(resets).toBe(before);
    expect(events.map((event) => event.id)).toEqual(['vm-1']);
    expect(states).toEqual(['live']);
  });

  it('is stale after 30 s of silence, and connects again', async () => {
    await server.write(frame('boot.1'));
    server.status = 503;
    await vi.advanceTimersByTimeAsync(31_000);
    expect(states).toEqual(['live', 'stale']);
    server.status = 200;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(states).toEqual(['live', 'stale', 'live']);
  });

  it('stays live while only heartbeats come', async () => {
    for (let n = 0; n < 5; n += 1) {
      await server.write(': still here\n\n');
      await vi.advanceTimersByTimeAsync(15_000);
    }
    expect(server.asked).toHaveLength(1);
    expect(states).toEqual(['live']);
  });

  it('lists again when the server says that events were missed', async () => {
    await server.write('event: reset\ndata: {}\n\n');
    expect(resets).toBe(2); // the first connection is one as well
    expect(events).toEqual([]);
  });

  it('stops and says so when the session has ended', async () => {
    server.status = 401;
    await server.cut();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(signedOut).toBe(1);
    expect(server.asked).toHaveLength(2);
  });
});
