import { Button, EmptyState, EmptyStateBody, Label, PageSection } from '@patternfly/react-core';
import { PlusCircleIcon, TachometerAltIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useState } from 'react';
import { Link } from 'react-router';

import { usePools, useQuotas } from '../api/queries';
import type { Quota } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { StorageTabs } from '../storage/StorageTabs';
import { Answer } from '../ui/Answer';
import { Room } from '../ui/Room';
import { RowMenu } from '../ui/RowMenu';
import { bytes, percent } from '../ui/format';
import { ChangeQuota, DeleteQuota, NewQuota } from './QuotaForms';
import { titleOf, useOf } from './quota-words';

interface Asked {
  what: 'change' | 'delete';
  quota: Quota;
}

export default function QuotasRoom() {
  const { may } = useSession();
  const quotas = useQuotas();
  const [isCreating, setIsCreating] = useState(false);
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  const isAllowed = may('pool.write');
  return (
    <Room
      title={m.storage.title}
      intro={m.quota.intro}
      actions={
        <Button
          icon={<PlusCircleIcon />}
          isAriaDisabled={!isAllowed}
          title={isAllowed ? undefined : m.vm.noRight}
          onClick={() => setIsCreating(true)}
        >
          {m.quota.add}
        </Button>
      }
    >
      <StorageTabs tab="quotas" />
      <PageSection hasBodyWrapper={false} isFilled id="tab-body">
        <Answer query={quotas}>{(rows) => <QuotaTable quotas={rows} ask={setAsked} mayWrite={isAllowed} />}</Answer>
      </PageSection>
      {isCreating && <NewQuota close={() => setIsCreating(false)} />}
      {asked?.what === 'change' && <ChangeQuota quota={asked.quota} close={close} />}
      {asked?.what === 'delete' && <DeleteQuota quota={asked.quota} close={close} />}
    </Room>
  );
}

interface QuotaTableProps {
  quotas: Quota[];
  ask: (asked: Asked) => void;
  mayWrite: boolean;
}

function QuotaTable({ quotas, ask, mayWrite }: QuotaTableProps) {
  if (quotas.length === 0) {
    return (
      <EmptyState titleText={m.quota.none} headingLevel="h2" variant="sm" icon={TachometerAltIcon}>
        <EmptyStateBody>{m.quota.noneHow}</EmptyStateBody>
      </EmptyState>
    );
  }
  return (
    <Table variant="compact" aria-label={m.quota.title}>
      <Thead>
        <Tr>
          <Th>{m.quota.user}</Th>
          <Th>{m.quota.pool}</Th>
          <Th width={40}>{m.quota.used}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {quotas.map((quota) => (
          <Tr key={quota.id}>
            <Td dataLabel={m.quota.user}>{quota.user ?? <span className="horcrux-quiet">{m.quota.allUsers}</span>}</Td>
            <Td dataLabel={m.quota.pool}>
              <PoolName id={quota.pool} />
            </Td>
            <Td dataLabel={m.quota.used}>
              <Meter quota={quota} />
            </Td>
            <Td isActionCell>
              <RowMenu
                isDisabled={!mayWrite}
                label={m.quota.actionsOf(titleOf(quota))}
                actions={[
                  { title: m.quota.change, run: () => ask({ what: 'change', quota }) },
                  { title: m.quota.remove, isDanger: true, run: () => ask({ what: 'delete', quota }) },
                ]}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function PoolName({ id }: { id: string | null }) {
  const pools = usePools();
  if (id === null) return <span className="horcrux-quiet">{m.quota.allPools}</span>;
  const name = pools.data?.find((pool) => pool.id === id)?.name ?? id;
  return <Link to={`/storage/${encodeURIComponent(id)}`}>{name}</Link>;
}

function Meter({ quota }: { quota: Quota }) {
  const { share, state } = useOf(quota);
  const words = m.quota.usedOf(bytes(quota.used_bytes), bytes(quota.limit_bytes));
  return (
    <div>
      <div
        className={state === 'fine' ? 'horcrux-meter' : 'horcrux-meter horcrux-meter-full'}
        role="meter"
        aria-label={m.quota.used}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share * 100)}
        aria-valuetext={words}
      >
        <span style={{ inlineSize: percent(share).replace(' ', '') }} />
      </div>
      <div className="horcrux-line horcrux-quiet horcrux-number">
        {words}
        {state !== 'fine' && (
          <Label isCompact color={state === 'over' ? 'red' : 'orange'}>
            {m.quota[state]}
          </Label>
        )}
      </div>
    </div>
  );
}
