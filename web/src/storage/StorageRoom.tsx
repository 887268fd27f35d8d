import { Button, Card, CardBody, CardHeader, CardTitle, EmptyState, Gallery, Label, PageSection } from '@patternfly/react-core';
import { DatabaseIcon, PlusCircleIcon } from '@patternfly/react-icons';
import { useState } from 'react';
import { Link } from 'react-router';

import { usePools } from '../api/queries';
import type { Pool } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { Room } from '../ui/Room';
import { HealthLabel } from './HealthLabel';
import { NewPool } from './NewPool';
import { PoolAlerts } from './PoolAlerts';
import { SpaceMeter } from './SpaceMeter';
import { StorageTabs } from './StorageTabs';

export default function StorageRoom() {
  const pools = usePools();
  const { may } = useSession();
  const [isCreating, setIsCreating] = useState(false);
  const isAllowed = may('pool.write');
  return (
    <Room
      title={m.storage.title}
      intro={m.storage.intro}
      actions={
        <Button
          icon={<PlusCircleIcon />}
          isAriaDisabled={!isAllowed}
          title={isAllowed ? undefined : m.vm.noRight}
          onClick={() => setIsCreating(true)}
        >
          {m.storage.createPool}
        </Button>
      }
    >
      <StorageTabs tab="pools" />
      <PageSection hasBodyWrapper={false} isFilled id="tab-body">
        <Answer query={pools}>{(rows) => <Pools pools={rows} />}</Answer>
      </PageSection>
      {isCreating && <NewPool close={() => setIsCreating(false)} />}
    </Room>
  );
}

function Pools({ pools }: { pools: Pool[] }) {
  if (pools.length === 0) return <EmptyState titleText={m.storage.noPools} headingLevel="h2" icon={DatabaseIcon} />;
  return (
    <div className="horcrux-stack">
      <PoolAlerts pools={pools} />
      <Gallery hasGutter minWidths={{ default: '280px' }}>
        {pools.map((pool) => (
          <PoolCard key={pool.id} pool={pool} />
        ))}
      </Gallery>
    </div>
  );
}

function PoolCard({ pool }: { pool: Pool }) {
  const to = `/storage/${encodeURIComponent(pool.id)}`;
  return (
    <Card>
      <CardHeader>
        <CardTitle component="h2">
          <span className="horcrux-line">
            <Link to={to} className="horcrux-wrap">
              {pool.name}
            </Link>
            <Label isCompact>{m.storage.typeNames[pool.storage_type] ?? pool.storage_type}</Label>
            {pool.is_active ? (
              <HealthLabel health={pool.health} isAlways />
            ) : (
              <Label isCompact color="red">
                {m.storage.inactive}
              </Label>
            )}
          </span>
        </CardTitle>
      </CardHeader>
      <CardBody>
        <div className="horcrux-stack">
          {pool.is_active ? <SpaceMeter pool={pool} /> : <p>{pool.reason}</p>}
          <div className="horcrux-quiet horcrux-mono horcrux-wrap">{pool.target}</div>
          <div className="horcrux-line">
            <Link to={to}>{m.storage.volumes}</Link>
            {pool.holds_images && <Link to={`${to}/images`}>{m.storage.images}</Link>}
          </div>
        </div>
      </CardBody>
    </Card>
  );
}
