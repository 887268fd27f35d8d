import {
  Alert,
  Button,
  Card,
  CardBody,
  CardHeader,
  CardTitle,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  Label,
} from '@patternfly/react-core';
import { ReplicatorIcon } from '@patternfly/react-icons';
import { type ReactNode, useState } from 'react';

import { start } from '../api/client';
import { replicationPath, usePeers, useReplications } from '../api/queries';
import type { Replication, VmView } from '../api/types';
import { useToast } from '../app/toasts';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { useWatch } from '../tasks/watch';
import { Answer } from '../ui/Answer';
import { ErrorDetails } from '../ui/ErrorAlert';
import { Facts } from '../ui/Facts';
import { Intro } from '../ui/Intro';
import { LinkButton } from '../ui/LinkButton';
import { RowMenu } from '../ui/RowMenu';
import { bytes, moment } from '../ui/format';
import { useNow } from '../ui/now';
import { ChangeReplication, EndReplication, NewReplication } from './ReplicationForms';
import { lastSuccess, nextRun, scheduleWords } from './schedule-words';

type Asked = { what: 'change' | 'end'; replication: Replication } | { what: 'add' };

export default function Replications({ vm }: { vm: VmView }) {
  const { may } = useSession();
  const replications = useReplications();
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  return (
    <>
      <Intro text={m.replication.intro}>
        <Button variant="secondary" isDisabled={!may('storage.write')} onClick={() => setAsked({ what: 'add' })}>
          {m.replication.add}
        </Button>
      </Intro>
      <Answer query={replications}>
        {(rows) => <Own replications={rows.filter((each) => each.vm_id === vm.id)} ask={setAsked} />}
      </Answer>
      {asked?.what === 'add' && <NewReplication vm={vm} close={close} />}
      {asked?.what === 'change' && <ChangeReplication replication={asked.replication} close={close} />}
      {asked?.what === 'end' && <EndReplication replication={asked.replication} close={close} />}
    </>
  );
}

interface OwnProps {
  replications: Replication[];
  ask: (asked: Asked) => void;
}

function Own({ replications, ask }: OwnProps) {
  const peers = usePeers();
  if (replications.length > 0) {
    return (
      <div className="horcrux-columns horcrux-halves">
        {replications.map((replication) => (
          <ReplicationCard key={replication.id} replication={replication} ask={ask} />
        ))}
      </div>
    );
  }
  const hasPeers = (peers.data ?? []).length > 0;
  return (
    <EmptyState titleText={m.replication.none} headingLevel="h2" variant="sm" icon={ReplicatorIcon}>
      <EmptyStateBody>{hasPeers ? m.replication.noneHow : m.replication.noPeers}</EmptyStateBody>
      {!hasPeers && (
        <EmptyStateFooter>
          <EmptyStateActions>
            <LinkButton variant="link" to="/peers">
              {m.replication.toPeers}
            </LinkButton>
          </EmptyStateActions>
        </EmptyStateFooter>
      )}
    </EmptyState>
  );
}

const COLOR = { idle: 'green', running: 'purple', failed: 'red', disabled: 'grey' } as const;

function ReplicationCard({ replication, ask }: { replication: Replication; ask: OwnProps['ask'] }) {
  const { may } = useSession();
  const run = useRun();
  const mayWrite = may('storage.write');
  return (
    <Card>
      <CardHeader
        actions={{
          hasNoOffset: true,
          actions: (
            <>
              <Button
                variant="secondary"
                size="sm"
                isDisabled={!mayWrite || replication.state === 'running'}
                onClick={() => void run(replication)}
              >
                {m.replication.run}
              </Button>
              <RowMenu
                isDisabled={!mayWrite}
                label={m.replication.actionsOf(replication.peer)}
                actions={[
                  { title: m.replication.edit, run: () => ask({ what: 'change', replication }) },
                  { title: m.replication.remove, isDanger: true, run: () => ask({ what: 'end', replication }) },
                ]}
              />
            </>
          ),
        }}
      >
        <CardTitle component="h2">
          <span className="horcrux-line">
            <span className="horcrux-wrap">{m.replication.to(replication.peer, replication.target_pool)}</span>
            <Label isCompact color={COLOR[replication.state]} data-state={replication.state}>
              {m.replication.state[replication.state]}
            </Label>
          </span>
        </CardTitle>
      </CardHeader>
      <CardBody>
        <div className="horcrux-stack">
          {replication.last_error && (
            <Alert isInline variant="danger" title={m.replication.failed} className="horcrux-wrap">
              <p>{replication.last_error}</p>
              {replication.is_resumable && <p>{m.replication.resumable}</p>}
            </Alert>
          )}
          <Facts facts={factsOf(replication, useNow())} />
        </div>
      </CardBody>
    </Card>
  );
}

function factsOf(replication: Replication, now: number): [string, ReactNode][] {
  const words = m.replication;
  const limit = replication.bandwidth_limit_mib_s;
  const quality: [string, ReactNode][] =
    replication.snapshot === null ? [] : [[words.quality, replication.is_consistent ? words.frozen : words.notFrozen]];
  return [
    [words.lastSuccess, lastSuccess(replication, now)],
    [
      words.nextRun,
      <span key="next" title={replication.next_run_at === null ? undefined : moment(replication.next_run_at)}>
        {nextRun(replication, now)}
      </span>,
    ],
    [words.schedule, scheduleWords(replication.schedule)],
    [words.bandwidth, limit === null ? words.noLimit : words.limit(limit)],
    [words.lastBytes, bytes(replication.last_bytes)],
    [words.snapshot, replication.snapshot ? <span key="snapshot" className="horcrux-mono">{replication.snapshot}</span> : m.none],
    ...quality,
  ];
}

function useRun(): (replication: Replication) => Promise<void> {
  const watch = useWatch();
  const toast = useToast();
  return async (replication) => {
    try {
      const task = await start('POST', `${replicationPath(replication.id)}/run`, { body: {} });
      if (task) watch(task);
    } catch (error) {
      toast('danger', m.replication.notRun(replication.peer), <ErrorDetails error={error} withSentence />);
    }
  };
}
