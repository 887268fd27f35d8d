/** Chords that a browser or the system keeps for itself, as key events of RFB (X11 keysyms, with the physical key). */

export type Key = readonly [keysym: number, code: string];

const CTRL: Key = [0xffe3, 'ControlLeft'];
const ALT: Key = [0xffe9, 'AltLeft'];
const FUNCTION_KEYS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

function functionKey(number: number): Key {
  return [0xffbe + number - 1, `F${number}`];
}

export interface Chord {
  name: string;
  keys: readonly Key[];
}

export const CHORDS: readonly Chord[] = [
  { name: 'Ctrl+Alt+Del', keys: [CTRL, ALT, [0xffff, 'Delete']] },
  { name: 'Ctrl+Alt+Backspace', keys: [CTRL, ALT, [0xff08, 'Backspace']] },
  { name: 'Alt+Tab', keys: [ALT, [0xff09, 'Tab']] },
  { name: 'Super', keys: [[0xffeb, 'MetaLeft']] },
  { name: 'Esc', keys: [[0xff1b, 'Escape']] },
  { name: 'PrintScreen', keys: [[0xff61, 'PrintScreen']] },
  ...FUNCTION_KEYS.map((number) => ({ name: `Ctrl+Alt+F${number}`, keys: [CTRL, ALT, functionKey(number)] })),
];

/** Presses the chord's keys in order and lets them go in the opposite one. */
export function press(chord: Chord, sendKey: (keysym: number, code: string, isDown: boolean) => void): void {
  for (const [keysym, code] of chord.keys) sendKey(keysym, code, true);
  for (const [keysym, code] of [...chord.keys].reverse()) sendKey(keysym, code, false);
}
