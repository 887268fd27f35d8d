import { Alert, List, ListItem } from '@patternfly/react-core';
import { Link } from 'react-router';

import type { Pool } from '../api/types';
import { m } from '../messages';

/** Each pool that somebody has to look after, with what is wrong. */
export function PoolAlerts({ pools }: { pools: readonly Pool[] }) {
  const ailing = pools.filter((pool) => pool.health !== 'good' || !pool.is_active);
  if (ailing.length === 0) return null;
  return (
    <div className="horcrux-stack">
      {ailing.map((pool) => (
        <PoolAlert key={pool.id} pool={pool} isLinked />
      ))}
    </div>
  );
}

export function PoolAlert({ pool, isLinked }: { pool: Pool; isLinked?: boolean }) {
  if (pool.health === 'good' && pool.is_active) return null;
  const isDown = pool.health === 'faulted' || !pool.is_active;
  const sentences = pool.problems.length > 0 ? pool.problems : [pool.reason || m.storage.healthHelp[pool.health]];
  return (
    <Alert
      isInline
      variant={isDown ? 'danger' : 'warning'}
      title={pool.is_active ? m.storage.ailing(pool.name, pool.health) : m.storage.away(pool.name)}
      className="horcrux-wrap"
      actionLinks={isLinked && <Link to={`/storage/${encodeURIComponent(pool.id)}`}>{m.storage.showPool}</Link>}
    >
      {sentences.length === 1 ? (
        <p>{sentences[0]}</p>
      ) : (
        <List isPlain>
          {sentences.map((sentence) => (
            <ListItem key={sentence}>{sentence}</ListItem>
          ))}
        </List>
      )}
    </Alert>
  );
}
