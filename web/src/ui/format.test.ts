import { describe, expect, it } from 'vitest';

import { ago, bytes, duration, gibibytes, mebibytes } from './format';

describe('sizes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [2 ** 40, '1 TiB'],
    [150.4 * 2 ** 20, '150 MiB'],
  ])('%d bytes read %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });

  it('are binary', () => {
    expect(mebibytes(1024)).toBe('1 GiB');
    expect(gibibytes(0.5)).toBe('512 MiB');
  });
});

describe('times', () => {
  it.each([
    [0.25, '250 ms'],
    [9.46, '9.5 s'],
    [61, '1 min 1 s'],
    [3600, '1 h'],
    [90_000, '1 d 1 h'],
  ])('%d seconds last %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });

  it('passed are told in their largest unit', () => {
    expect(ago(1000, 1_000_000 + 125_000)).toBe('2 min ago');
    expect(ago(1000, 1_000_000)).toBe('just now');
    expect(ago(1000, 0)).toBe('just now');
  });
});
