/** Numbers and times as people read them. Sizes are binary: MiB, GiB. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 || Number.isInteger(size) ? 0 : 1;
  return `${size.toFixed(digits)} ${UNITS[unit] ?? 'B'}`;
}

export function mebibytes(value: number): string {
  return bytes(value * 2 ** 20);
}

export function gibibytes(value: number): string {
  return bytes(value * 2 ** 30);
}

export function percent(part: number): string {
  return `${Math.round(part * 100)} %`;
}

/** `seconds` since the epoch as a date and time of this browser's zone. */
export function moment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
}

export function clock(milliseconds: number): string {
  return new Date(milliseconds).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });
}

export function ago(seconds: number, nowMs: number = Date.now()): string {
  const passed = Math.max(0, nowMs / 1000 - seconds);
  if (passed < 5) return 'just now';
  const [count, unit] = passed < 60 ? [passed, 's'] : passed < 3600 ? [passed / 60, 'min'] : passed < 86_400 ? [passed / 3600, 'h'] : [passed / 86_400, 'd'];
  return `${Math.floor(count)} ${unit} ago`;
}

/** The two largest units are enough to know how long something took. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1).replace(/\.0$/, '')} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`.replace(/ 0 s$/, '');
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`.replace(/ 0 min$/, '');
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`.replace(/ 0 h$/, '');
}

export function plural(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}
