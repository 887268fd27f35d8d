/**
 * A stylesheet without the custom properties that nothing reads: PatternFly defines thousands of tokens, and a page
 * uses a part. A property stays when some `var()` of the stylesheet or any text of the scripts names it.
 */

const DECLARED = /(?<=[{;])(--[\w-]+):(?:[^;{}"']|"[^"]*"|'[^']*')*(?:;|(?=\}))/g;
const READ = /var\(\s*(--[\w-]+)/g;

export function withoutUnusedProperties(css, scripts) {
  const named = new Set(scripts.match(/--[\w-]+/g));
  let before;
  do {
    before = css;
    const read = new Set([...css.matchAll(READ)].map((found) => found[1]));
    css = css.replace(DECLARED, (declaration, name) => (read.has(name) || named.has(name) ? declaration : ''));
  } while (css.length < before.length);
  return css;
}

export function dropUnusedProperties() {
  return {
    name: 'drop-unused-properties',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const files = Object.values(bundle);
      const scripts = files.filter((file) => file.type === 'chunk').map((file) => file.code);
      for (const file of files) {
        if (file.type !== 'asset' || !file.fileName.endsWith('.css')) continue;
        file.source = withoutUnusedProperties(String(file.source), scripts.join('\n'));
      }
    },
  };
}
