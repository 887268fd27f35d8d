/** Volumes of a pool as a tree: what is a linked clone stands beneath its base. Pure. */

import type { Volume } from '../api/types';

export interface VolumeRow {
  volume: Volume;
  /** 1 for what stands on nothing. */
  level: number;
  /** Place among its siblings, from 1, and how many they are. */
  place: number;
  of: number;
  clones: number;
}

/** Rows in the order of the tree, by name among siblings. A clone whose base is not of the list stands by itself. */
export function rowsOf(volumes: readonly Volume[]): VolumeRow[] {
  const names = new Set(volumes.map((volume) => volume.name));
  const beneath = new Map<string | null, Volume[]>();
  for (const volume of [...volumes].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))) {
    const base = volume.base !== null && volume.base !== volume.name && names.has(volume.base) ? volume.base : null;
    beneath.set(base, [...(beneath.get(base) ?? []), volume]);
  }
  const rows: VolumeRow[] = [];
  const add = (base: string | null, level: number) => {
    const siblings = beneath.get(base) ?? [];
    for (const [at, volume] of siblings.entries()) {
      const clones = beneath.get(volume.name)?.length ?? 0;
      rows.push({ volume, level, place: at + 1, of: siblings.length, clones });
      add(volume.name, level + 1);
    }
  };
  add(null, 1);
  return rows;
}
