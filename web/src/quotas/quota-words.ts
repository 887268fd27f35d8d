/** How far a quota is used: pure. */

import type { Quota } from '../api/types';
import { m } from '../messages';

const NEARLY_FULL = 0.85;

export interface Use {
  /** 0 to 1, and 1 for whatever is over. */
  share: number;
  state: 'fine' | 'full' | 'over';
}

/** A limit of nothing is over as soon as anything is there. */
export function useOf(quota: Quota): Use {
  if (quota.used_bytes > quota.limit_bytes) return { share: 1, state: 'over' };
  const share = quota.limit_bytes > 0 ? quota.used_bytes / quota.limit_bytes : 1;
  return { share, state: share > NEARLY_FULL ? 'full' : 'fine' };
}

export function titleOf(quota: Quota): string {
  return m.quota.what(quota.user, quota.pool);
}
