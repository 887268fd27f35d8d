import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

import { leanPatternFly } from './build/lean-patternfly.js';
import { dropUnusedProperties } from './build/unused-properties.js';

/** Where `npm run dev` finds a running agent. */
const agent = process.env.HORCRUX_URL ?? 'http://127.0.0.1:8006';

export default defineConfig({
  plugins: [react(), leanPatternFly(), dropUnusedProperties()],
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox121', 'safari17.5'], // light-dark(), logical sizes and nesting as they are: no copies for older ones
    sourcemap: false,
    modulePreload: { polyfill: false }, // the polyfill would be an inline script; every browser we support preloads
    assetsInlineLimit: 0, // the content security policy allows no data: fonts
    chunkSizeWarningLimit: 1200,
  },
  server: { proxy: { '/api': { target: agent, ws: true } } },
  test: { environment: 'jsdom', include: ['{src,build}/**/*.test.{js,ts,tsx}'], restoreMocks: true },
});
