import { Button, Label, PageSection, Tab, TabTitleText, Tabs } from '@patternfly/react-core';
import { useState } from 'react';
import { useNavigate, useParams } from 'react-router';

import { start } from '../api/client';
import { poolPath, usePools } from '../api/queries';
import type { Pool } from '../api/types';
import { NotFound } from '../app/NotFound';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import { Answer } from '../ui/Answer';
import Confirm from '../ui/Confirm';
import { Room } from '../ui/Room';
import { HealthLabel } from './HealthLabel';
import { Images } from './Images';
import { PoolAlert } from './PoolAlerts';
import { SpaceMeter } from './SpaceMeter';
import { Volumes } from './Volumes';

const TABS = ['volumes', 'images'] as const;
const CRUMBS = [{ to: '/storage', text: m.storage.title }];

export default function PoolRoom() {
  const { pool: id = '', tab = 'volumes' } = useParams();
  const pools = usePools();
  if (!TABS.includes(tab as 'volumes')) return <NotFound />;
  return (
    <Answer query={pools}>
      {(rows) => {
        const pool = rows.find((other) => other.id === id);
        if (pool) return <PoolPage pool={pool} tab={tab as 'volumes' | 'images'} />;
        return (
          <NotFound
            title={m.storage.unknownPool}
            body={m.storage.unknownPoolBody(id)}
            back={{ to: '/storage', text: m.storage.title }}
          />
        );
      }}
    </Answer>
  );
}

function PoolPage({ pool, tab }: { pool: Pool; tab: 'volumes' | 'images' }) {
  const { may } = useSession();
  const navigate = useNavigate();
  const [isDeleting, setIsDeleting] = useState(false);
  const base = `/storage/${encodeURIComponent(pool.id)}`;
  return (
    <Room
      title={pool.name}
      focusKey={pool.id}
      crumbs={CRUMBS}
      labels={
        <>
          <Label>{m.storage.typeNames[pool.storage_type] ?? pool.storage_type}</Label>
          {pool.is_active && <HealthLabel health={pool.health} isCompact={false} />}
        </>
      }
      intro={<span className="horcrux-mono horcrux-wrap">{pool.target}</span>}
      actions={
        <Button variant="secondary" isDanger isDisabled={!may('pool.write')} onClick={() => setIsDeleting(true)}>
          {m.storage.deletePool}
        </Button>
      }
    >
      <PageSection hasBodyWrapper={false}>
        <div className="horcrux-stack">
          <PoolAlert pool={pool} />
          {pool.is_active && <SpaceMeter pool={pool} />}
        </div>
      </PageSection>
      <PageSection hasBodyWrapper={false} type="tabs">
        <Tabs
          aria-label={pool.name}
          activeKey={tab}
          component="nav"
          onSelect={(event, key) => {
            event.preventDefault();
            void navigate(key === 'volumes' ? base : `${base}/${String(key)}`);
          }}
        >
          {TABS.filter((name) => name !== 'images' || pool.holds_images || tab === 'images').map((name) => (
            <Tab
              key={name}
              eventKey={name}
              tabContentId="tab-body"
              href={name === 'volumes' ? base : `${base}/${name}`}
              title={<TabTitleText>{m.storage[name]}</TabTitleText>}
            />
          ))}
        </Tabs>
      </PageSection>
      <PageSection hasBodyWrapper={false} isFilled id="tab-body">
        {tab === 'images' ? <Images pool={pool.id} /> : <Volumes pool={pool} />}
      </PageSection>
      {isDeleting && <DeletePool pool={pool} close={() => setIsDeleting(false)} done={() => void navigate('/storage')} />}
    </Room>
  );
}

function DeletePool({ pool, close, done }: { pool: Pool; close: () => void; done: () => void }) {
  const watch = useWatch();
  const run = async () => {
    const task = await start('DELETE', poolPath(pool.id));
    if (task) watch(task);
    done();
  };
  return (
    <Confirm title={m.storage.deletePoolTitle(pool.name)} action={m.storage.deletePool} isDanger typed={pool.id} run={run} close={close}>
      <p>{m.storage.deletePoolBody}</p>
      <br />
    </Confirm>
  );
}
