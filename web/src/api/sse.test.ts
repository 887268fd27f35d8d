import { describe, expect, it } from 'vitest';

import { type SseMessage, SseParser } from './sse';

function read(pieces: string[]): { messages: SseMessage[]; heard: number } {
  const messages: SseMessage[] = [];
  let heard = 0;
  const parser = new SseParser({ message: (message) => messages.push(message), heard: () => (heard += 1) });
  for (const piece of pieces) parser.push(piece);
  return { messages, heard };
}

describe('an event stream', () => {
  const stream = 'retry: 2000\n\n: still here\n\nid: b.7\nevent: vm\ndata: {"a":1}\n\n';

  it('gives the same messages however it was cut', () => {
    const whole = read([stream]).messages;
    expect(whole).toEqual([{ event: 'vm', data: '{"a":1}', id: 'b.7' }]);
    expect(read(Array.from(stream)).messages).toEqual(whole);
    expect(read([stream.replaceAll('\n', '\r\n')]).messages).toEqual(whole);
  });

  it('shows a comment as a sign of life and not as a message', () => {
    expect(read([': still here\n\n'])).toEqual({ messages: [], heard: 1 });
  });

  it('joins lines of data and keeps the last id', () => {
    const { messages } = read(['id: 1\ndata: a\ndata: b\n\n', 'event: reset\ndata\n\n']);
    expect(messages).toEqual([
      { event: 'message', data: 'a\nb', id: '1' },
      { event: 'reset', data: '', id: '1' },
    ]);
  });
});
