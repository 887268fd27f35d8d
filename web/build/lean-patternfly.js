/**
 * PatternFly's stylesheet without what the console never shows: the felt, glass and high-contrast themes, italic,
 * icon and display fonts. Halves the stylesheet and keeps megabytes of wallpaper out of the build.
 */

const THEMES = /^:root:where\([^)]*pf-v6-theme-(?:felt|glass|high-contrast)[^)]*\)\s*\{/;
const FONTS = /font-style:\s*italic|pf-v6-pficon|Red Hat Display/;
const ICONS = /\.pf-v6-pficon-/;

/** `css` without the top-level rules that `drop(rule)` names. Rules are cut at braces of depth nought. */
export function withoutRules(css, drop) {
  let kept = '';
  let depth = 0;
  let from = 0;
  for (let at = 0; at < css.length; at += 1) {
    if (css[at] === '{') depth += 1;
    if (css[at] !== '}') continue;
    depth -= 1;
    if (depth > 0) continue;
    const rule = css.slice(from, at + 1);
    if (!drop(rule.replace(/\/\*[\s\S]*?\*\//g, '').trim())) kept += rule;
    from = at + 1;
  }
  return kept + css.slice(from);
}

function isUnused(rule) {
  return THEMES.test(rule) || (rule.startsWith('@font-face') && FONTS.test(rule)) || ICONS.test(rule.slice(0, 60));
}

export function leanPatternFly() {
  return {
    name: 'lean-patternfly',
    enforce: 'pre',
    transform(code, id) {
      if (!/@patternfly\/react-core\/dist\/styles\/base\.css/.test(id)) return null;
      return { code: withoutRules(code, isUnused), map: null };
    },
  };
}
