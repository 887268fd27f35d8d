/** What the event stream does to the lists we hold: pure, so that it can be tested without a server. */

import type { StreamEvent } from './stream';

/** `rows` with `row` in the place of the one that has the same key, or at the end. */
export function put<T>(rows: readonly T[], row: T, keyOf: (row: T) => string, atFront = false): T[] {
  const key = keyOf(row);
  const at = rows.findIndex((other) => keyOf(other) === key);
  if (at < 0) return atFront ? [row, ...rows] : [...rows, row];
  return rows.with(at, row);
}

export function drop<T>(rows: readonly T[], key: string, keyOf: (row: T) => string): T[] {
  return rows.filter((row) => keyOf(row) !== key);
}

export function apply<T>(rows: readonly T[], event: StreamEvent, keyOf: (row: T) => string, atFront = false): T[] {
  return event.data === null ? drop(rows, event.id, keyOf) : put(rows, event.data as T, keyOf, atFront);
}

/** The latest events, so that an answer which was on its way while they came can be brought up to date. */
export class Recent {
  private events: StreamEvent[] = [];
  private dropped = 0;

  constructor(private readonly limit = 2000) {}

  add(event: StreamEvent): void {
    this.events.push(event);
    if (this.events.length <= this.limit) return;
    this.events.splice(0, this.limit / 2);
    this.dropped += this.limit / 2;
  }

  mark(): number {
    return this.dropped + this.events.length;
  }

  since(mark: number, kind: string): StreamEvent[] {
    return this.events.slice(Math.max(0, mark - this.dropped)).filter((event) => event.kind === kind);
  }
}
