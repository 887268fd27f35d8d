import { expect, it } from 'vitest';

import { withoutUnusedProperties } from './unused-properties.js';

it('drops what nothing reads, and then what only that read', () => {
  expect(withoutUnusedProperties(['a{--x:1;--y:var(--x);color:red}'], [])).toEqual(['a{color:red}']);
});

it('keeps what another stylesheet reads, and what a script names', () => {
  const sheets = [':root{--x:1;--y:"a;b";--z:2}', 'b{margin:var(--x)}'];
  expect(withoutUnusedProperties(sheets, ['style["--y"]'])).toEqual([':root{--x:1;--y:"a;b";}', 'b{margin:var(--x)}']);
});
