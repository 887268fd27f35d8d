import type { Pool } from '../api/types';
import { m } from '../messages';
import { bytes, percent } from '../ui/format';

const NEARLY_FULL = 0.85;

export function SpaceMeter({ pool }: { pool: Pool }) {
  const used = pool.total_bytes > 0 ? 1 - pool.available_bytes / pool.total_bytes : 0;
  const words = m.storage.free(bytes(pool.available_bytes), bytes(pool.total_bytes));
  return (
    <div>
      <div
        className={used > NEARLY_FULL ? 'horcrux-meter horcrux-meter-full' : 'horcrux-meter'}
        role="meter"
        aria-label={m.storage.space}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(used * 100)}
        aria-valuetext={words}
      >
        <span style={{ inlineSize: percent(used).replace(' ', '') }} />
      </div>
      <div className="horcrux-quiet horcrux-number">{words}</div>
    </div>
  );
}
