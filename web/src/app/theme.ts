/** Light or dark: the system's wish, unless the user chose. */

export type ThemeChoice = 'system' | 'light' | 'dark';

const STORED = 'horcrux-theme';
const DARK_CLASS = 'pf-v6-theme-dark';

export function themeChoice(): ThemeChoice {
  const stored = localStorage.getItem(STORED);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

export function chooseTheme(choice: ThemeChoice): void {
  if (choice === 'system') localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, choice);
  paint();
}

/** Paints now, and again whenever the system changes its mind. */
export function followTheme(): void {
  systemIsDark().addEventListener('change', paint);
  paint();
}

function systemIsDark(): MediaQueryList {
  return matchMedia('(prefers-color-scheme: dark)');
}

function paint(): void {
  const choice = themeChoice();
  const isDark = choice === 'dark' || (choice === 'system' && systemIsDark().matches);
  document.documentElement.classList.toggle(DARK_CLASS, isDark);
}
