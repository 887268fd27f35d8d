/** What a clone is proposed to be called, and of which kind it can be: pure. */

import type { Pool, Template } from '../api/types';

/** `web-1`, `web-2`, …: the first that no machine has. A template's own `tmpl-` goes. */
export function freeId(template: string, taken: Iterable<string>): string {
  const ids = new Set(taken);
  const stem = (template.replace(/^tmpl-/, '') || template).slice(0, 50);
  const base = /^\d/.test(stem) ? `vm-${stem}` : stem;
  for (let count = 1; ; count += 1) {
    const id = `${base}-${count}`;
    if (!ids.has(id)) return id;
  }
}

/** Whether linked clones can be made: every pool that its disks lie in has to be able to. Unknown pools count as able,
 * and the server has the last word. */
export function canLink(template: Template, pools: readonly Pool[]): boolean {
  return template.disks.every((disk) => pools.find((pool) => pool.id === disk.storage_pool)?.can_clone ?? true);
}
