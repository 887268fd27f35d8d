import { Alert, Bullseye, Button, Label, List, ListItem, PageSection, Progress, Spinner, Tab, TabTitleText, Tabs } from '@patternfly/react-core';
import { PlayIcon, PowerOffIcon } from '@patternfly/react-icons';
import { Suspense, lazy, useEffect, useState } from 'react';
import { useNavigate, useParams } from 'react-router';

import { isApiError } from '../api/errors';
import { useTasks, useVm } from '../api/queries';
import type { Verb, VmView } from '../api/types';
import { NotFound } from '../app/NotFound';
import { m } from '../messages';
import { TaskLink } from '../tasks/TaskLink';
import { TaskTable } from '../tasks/TaskTable';
import { concerns, isFinal } from '../tasks/words';
import { Answer } from '../ui/Answer';
import { Room } from '../ui/Room';
import { percent } from '../ui/format';
import Ask, { type Asked } from './Ask';
import { StatusLabel } from './StatusLabel';
import { VmMenu } from './VmMenu';
import { VmOverview } from './VmOverview';
import { usePower } from './actions';

const VncConsole = lazy(() => import('../console/VncConsole'));
const SerialConsole = lazy(() => import('../console/SerialConsole'));
const Snapshots = lazy(() => import('./Snapshots'));
const Replications = lazy(() => import('../replication/Replications'));

const TABS = ['overview', 'console', 'serial', 'snapshots', 'replication', 'tasks'] as const;
type TabName = (typeof TABS)[number];

const CRUMBS = [{ to: '/vms', text: m.vm.title }];

export default function VmRoom() {
  const { id = '', tab = 'overview' } = useParams();
  const vm = useVm(id);
  if (!TABS.includes(tab as TabName)) return <NotFound />;
  if (vm.data) return <Machine vm={vm.data} tab={tab as TabName} />;
  if (isApiError(vm.error) && vm.error.status === 404) return <NotYet id={id} />;
  return <Answer query={vm}>{() => null}</Answer>;
}

/** Either nothing has this id, or a task is just making it. */
function NotYet({ id }: { id: string }) {
  const tasks = useTasks();
  const maker = tasks.data?.find((task) => task.target === `vm/${id}` && task.action === 'vm.create' && !isFinal(task));
  if (!maker) {
    return <NotFound title={m.vm.unknown} body={m.vm.unknownBody(id)} back={{ to: '/vms', text: m.vm.toList }} />;
  }
  return (
    <Room title={id} crumbs={CRUMBS}>
      <PageSection hasBodyWrapper={false}>
        <Progress value={maker.progress * 100} title={m.vm.beingMade(id)} label={percent(maker.progress)} />
        <p className="horcrux-quiet">{maker.stage}</p>
        <TaskLink id={maker.id}>{m.task.show}</TaskLink>
      </PageSection>
    </Room>
  );
}

function Machine({ vm, tab }: { vm: VmView; tab: TabName }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const navigate = useNavigate();
  const base = `/vms/${encodeURIComponent(vm.id)}`;
  useEffect(() => {
    // On a phone the tabs scroll: the one that is open would stand outside.
    document.querySelector('.pf-v6-c-tabs__item.pf-m-current')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [tab]);
  return (
    <Room
      title={vm.name}
      focusKey={vm.id}
      crumbs={CRUMBS}
      labels={<Labels vm={vm} />}
      actions={<Actions vm={vm} ask={setAsked} />}
    >
      {vm.pending.length > 0 && <Pending vm={vm} />}
      <PageSection hasBodyWrapper={false} type="tabs">
        <Tabs
          aria-label={vm.name}
          activeKey={tab}
          component="nav"
          onSelect={(event, key) => {
            event.preventDefault();
            void navigate(key === 'overview' ? base : `${base}/${String(key)}`);
          }}
        >
          {TABS.map((name) => (
            <Tab
              key={name}
              eventKey={name}
              tabContentId="tab-body"
              href={name === 'overview' ? base : `${base}/${name}`}
              title={<TabTitleText>{m.vm.tabs[name]}</TabTitleText>}
            />
          ))}
        </Tabs>
      </PageSection>
      <PageSection hasBodyWrapper={false} isFilled id="tab-body">
        <Suspense fallback={<Waiting />}>
          <TabBody vm={vm} tab={tab} />
        </Suspense>
      </PageSection>
      {asked && (
        <Ask
          asked={asked}
          volumes={vm.disks.map((disk) => `${disk.storage_pool}/${disk.volume}`)}
          close={() => setAsked(null)}
          deleted={() => void navigate('/vms')}
        />
      )}
    </Room>
  );
}

function TabBody({ vm, tab }: { vm: VmView; tab: TabName }) {
  if (tab === 'console') return <VncConsole key={vm.id} vm={vm} />;
  if (tab === 'serial') return <SerialConsole key={vm.id} vm={vm} />;
  if (tab === 'snapshots') return <Snapshots key={vm.id} vm={vm} />;
  if (tab === 'replication') return <Replications key={vm.id} vm={vm} />;
  return tab === 'tasks' ? <VmTasks id={vm.id} /> : <VmOverview vm={vm} />;
}

function Waiting() {
  return (
    <Bullseye>
      <Spinner aria-label={m.loading} />
    </Bullseye>
  );
}

function Labels({ vm }: { vm: VmView }) {
  return (
    <>
      <StatusLabel status={vm.status} isCompact={false} />
      {vm.operation && (
        <TaskLink id={vm.operation}>
          <Spinner size="md" aria-label={m.vm.busyNow} />
        </TaskLink>
      )}
      {vm.tags.map((tag) => (
        <Label key={tag} variant="outline">
          {tag}
        </Label>
      ))}
    </>
  );
}

function Actions({ vm, ask }: { vm: VmView; ask: (asked: Asked) => void }) {
  const power = usePower();
  const reasonOf = (verb: Verb) => {
    const action = vm.allowed_actions[verb];
    return action && (action.allowed ? '' : action.reason || m.vm.noRight);
  };
  const main = vm.allowed_actions.start?.allowed && vm.status !== 'running' ? 'start' : 'shutdown';
  const reason = reasonOf(main) ?? '';
  return (
    <>
      <Button
        variant={main === 'start' ? 'primary' : 'secondary'}
        icon={main === 'start' ? <PlayIcon /> : <PowerOffIcon />}
        isAriaDisabled={reason !== ''}
        title={reason || undefined}
        onClick={() => void power(vm, main)}
      >
        {m.vm.verb[main]}
      </Button>
      <VmMenu vm={vm} ask={ask} reasonOf={reasonOf} />
    </>
  );
}

function Pending({ vm }: { vm: VmView }) {
  return (
    <PageSection hasBodyWrapper={false}>
      <Alert isInline variant="info" title={m.vm.pendingTitle(vm.pending.length)}>
        <List isPlain>
          {vm.pending.map((change) => (
            <ListItem key={change.field}>
              {m.vm.pendingRow(change.field, inWords(change.running), inWords(change.wanted))}
            </ListItem>
          ))}
        </List>
      </Alert>
    </PageSection>
  );
}

function inWords(value: unknown): string {
  if (value === null || value === undefined) return m.none;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function VmTasks({ id }: { id: string }) {
  const tasks = useTasks();
  return (
    <Answer query={tasks}>
      {(rows) => {
        const own = rows.filter((task) => concerns(task, `vm/${id}`));
        return own.length === 0 ? <p className="horcrux-quiet">{m.vm.noTasks}</p> : <TaskTable tasks={own} />;
      }}
    </Answer>
  );
}
