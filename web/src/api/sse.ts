/** Server-Sent Events, read from bytes (HTML Living Standard, section 9.2.6). EventSource hides comments, and the
 * server's heartbeat is one: we must see it to know that silence means a cut. */

export interface SseMessage {
  event: string;
  data: string;
  id: string | null;
}

export interface SseListener {
  message(message: SseMessage): void;
  /** A comment, or any other sign of life. */
  heard(): void;
}

export class SseParser {
  private rest = '';
  private event = '';
  private data: string[] = [];
  private id: string | null = null;

  constructor(private readonly listener: SseListener) {}

  /** Takes the next piece of the stream, cut anywhere. */
  push(piece: string): void {
    this.listener.heard();
    this.rest += piece;
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.line(line);
  }

  private line(line: string): void {
    if (line === '') this.dispatch();
    if (line === '' || line.startsWith(':')) return;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.event = value;
    if (field === 'data') this.data.push(value);
    if (field === 'id' && !value.includes('\0')) this.id = value;
  }

  private dispatch(): void {
    if (this.data.length > 0 || this.event !== '') {
      this.listener.message({ event: this.event || 'message', data: this.data.join('\n'), id: this.id });
    }
    this.event = '';
    this.data = [];
  }
}
