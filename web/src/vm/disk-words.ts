/** What follows from a disk and from where it lies: pure. */

import type { Pool, Template, VmDisk } from '../api/types';

/** The template that a linked clone's disk stands on. */
export function templateOf(disk: VmDisk, templates: readonly Template[]): Template | undefined {
  if (!disk.base) return undefined;
  return templates.find((template) =>
    template.disks.some((own) => own.storage_pool === disk.storage_pool && own.volume === disk.base),
  );
}

/** Pools that a disk can be moved to: others that can be reached, the roomiest first. */
export function poolsFor(disk: VmDisk, pools: readonly Pool[]): Pool[] {
  return pools
    .filter((pool) => pool.id !== disk.storage_pool && pool.is_active)
    .sort((a, b) => b.available_bytes - a.available_bytes);
}

/** Whether `text` is a size in GiB that a disk of `sizeGb` can grow to. */
export function isGrowth(text: string, sizeGb: number): boolean {
  const size = Number(text);
  return text.trim() !== '' && Number.isFinite(size) && size > sizeGb;
}

/** The next round size in GiB: what a form proposes. */
export function nextSize(sizeGb: number): number {
  const step = sizeGb < 20 ? 5 : sizeGb < 200 ? 10 : 50;
  return (Math.floor(sizeGb / step) + 1) * step;
}
