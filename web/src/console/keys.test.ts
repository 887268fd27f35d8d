import { expect, it } from 'vitest';

import { CHORDS, press } from './keys';

it('a chord goes down in order and up in the opposite one', () => {
  const sent: string[] = [];
  const chord = CHORDS.find((each) => each.name === 'Ctrl+Alt+F2');
  if (!chord) throw new Error('no such chord');
  press(chord, (keysym, code, isDown) => sent.push(`${isDown ? 'down' : 'up'} ${code} ${keysym.toString(16)}`));
  expect(sent).toEqual([
    'down ControlLeft ffe3',
    'down AltLeft ffe9',
    'down F2 ffbf',
    'up F2 ffbf',
    'up AltLeft ffe9',
    'up ControlLeft ffe3',
  ]);
});
