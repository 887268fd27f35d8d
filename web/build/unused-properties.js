/**
 * Stylesheets without the custom properties that nothing reads: PatternFly defines thousands of tokens, and a page
 * uses a part. A property stays when a `var()` of any stylesheet or any text of the scripts names it.
 */

const DECLARED = /(?<=[{;])(--[\w-]+):(?:[^;{}"']|"[^"]*"|'[^']*')*(?:;|(?=\}))/g;
const READ = /var\(\s*(--[\w-]+)/g;

/** `sheets` in the same order; they are read together, since one defines what another reads. */
export function withoutUnusedProperties(sheets, scripts) {
  const named = new Set(scripts.join('\n').match(/--[\w-]+/g));
  for (;;) {
    const read = new Set(sheets.flatMap((css) => [...css.matchAll(READ)].map((found) => found[1])));
    const isUsed = (name) => read.has(name) || named.has(name);
    const kept = sheets.map((css) => css.replace(DECLARED, (declaration, name) => (isUsed(name) ? declaration : '')));
    if (kept.every((css, at) => css.length === sheets[at].length)) return kept;
    sheets = kept;
  }
}

export function dropUnusedProperties() {
  return {
    name: 'drop-unused-properties',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const files = Object.values(bundle);
      const scripts = files.filter((file) => file.type === 'chunk').map((file) => file.code);
      const sheets = files.filter((file) => file.type === 'asset' && file.fileName.endsWith('.css'));
      const lean = withoutUnusedProperties(sheets.map((sheet) => String(sheet.source)), scripts);
      for (const [at, sheet] of sheets.entries()) sheet.source = lean[at];
    },
  };
}
