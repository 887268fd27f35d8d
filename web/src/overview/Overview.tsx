import {
  Card,
  CardBody,
  CardHeader,
  CardTitle,
  EmptyState,
  EmptyStateBody,
  EmptyStateFooter,
  PageSection,
} from '@patternfly/react-core';
import { RocketIcon } from '@patternfly/react-icons';
import type { ReactNode } from 'react';
import { Link } from 'react-router';

import { useHost, usePools, useTasks, useVms } from '../api/queries';
import type { Host, Pool, VmListItem } from '../api/types';
import { m } from '../messages';
import { PoolAlerts } from '../storage/PoolAlerts';
import { TaskRow } from '../tasks/TaskRow';
import { Answer } from '../ui/Answer';
import { LinkButton } from '../ui/LinkButton';
import { Room } from '../ui/Room';
import { bytes, mebibytes } from '../ui/format';
import { StatusLabel } from '../vm/StatusLabel';
import { HostCard } from './HostCard';

const TASKS_SHOWN = 6;
const VMS_SHOWN = 8;

export default function Overview() {
  const vms = useVms();
  const host = useHost();
  const pools = usePools();
  return (
    <Room title={m.overview.title}>
      <PageSection hasBodyWrapper={false}>
        <div className="horcrux-stack">
          {pools.data && <PoolAlerts pools={pools.data} />}
          <Figures vms={vms.data} host={host.data} pools={pools.data} />
          <div className="horcrux-columns">
            <div className="horcrux-stack">
              <Answer query={vms}>{(rows) => (rows.length === 0 ? <FirstVm /> : <Running vms={rows} />)}</Answer>
              <RecentTasks />
            </div>
            <HostCard query={host} />
          </div>
        </div>
      </PageSection>
    </Room>
  );
}

function Figures({ vms, host, pools }: { vms?: VmListItem[]; host?: Host; pools?: Pool[] }) {
  const running = vms?.filter((vm) => vm.status === 'running') ?? [];
  const memory = running.reduce((sum, vm) => sum + vm.memory_mb, 0);
  const cores = running.reduce((sum, vm) => sum + vm.cpu_cores, 0);
  const free = pools?.reduce((sum, pool) => sum + pool.available_bytes, 0) ?? 0;
  const total = pools?.reduce((sum, pool) => sum + pool.total_bytes, 0) ?? 0;
  return (
    <div className="horcrux-figures">
      <Figure title={m.overview.vms} to="/vms" value={vms && String(running.length)} note={m.overview.running(running.length, vms?.length ?? 0)} />
      <Figure title={m.overview.cores} value={vms && String(cores)} note={host && m.overview.ofHostCores(host.cpu_cores)} />
      <Figure title={m.overview.memory} value={vms && mebibytes(memory)} note={host && m.overview.ofHost(mebibytes(host.memory_mb))} />
      <Figure title={m.overview.storage} to="/storage" value={pools && bytes(total - free)} note={m.overview.free(bytes(free), bytes(total))} />
    </div>
  );
}

function Figure({ title, value, note, to }: { title: string; value?: string; note?: ReactNode; to?: string }) {
  return (
    <Card isCompact>
      <CardHeader>
        <CardTitle component="h2">{to ? <Link to={to}>{title}</Link> : title}</CardTitle>
      </CardHeader>
      <CardBody>
        <div className="horcrux-figure">{value ?? '–'}</div>
        <div className="horcrux-quiet horcrux-number">{note}</div>
      </CardBody>
    </Card>
  );
}

function FirstVm() {
  return (
    <Card>
      <EmptyState titleText={m.vm.none} headingLevel="h2" icon={RocketIcon}>
        <EmptyStateBody>{m.overview.firstBody}</EmptyStateBody>
        <EmptyStateFooter>
          <LinkButton to="/vms/new">{m.overview.first}</LinkButton>
        </EmptyStateFooter>
      </EmptyState>
    </Card>
  );
}

function Running({ vms }: { vms: VmListItem[] }) {
  const attention = vms.filter((vm) => vm.status === 'crashed' || vm.status === 'unknown');
  const running = vms.filter((vm) => vm.status === 'running');
  return (
    <>
      {attention.length > 0 && <VmCard title={m.overview.attention} vms={attention} />}
      <VmCard title={m.overview.runningVms} vms={running} empty={m.overview.noneRunning} />
    </>
  );
}

function VmCard({ title, vms, empty }: { title: string; vms: VmListItem[]; empty?: string }) {
  return (
    <Card>
      <CardHeader actions={{ hasNoOffset: true, actions: <Link to="/vms">{m.vm.title}</Link> }}>
        <CardTitle component="h2">{title}</CardTitle>
      </CardHeader>
      <CardBody>
        {vms.length === 0 && <p className="horcrux-quiet">{empty}</p>}
        <ul>
          {vms.slice(0, VMS_SHOWN).map((vm) => (
            <li key={vm.id} className="horcrux-task horcrux-line horcrux-between">
              <Link to={`/vms/${encodeURIComponent(vm.id)}`} className="horcrux-wrap">
                {vm.name}
              </Link>
              <span className="horcrux-line">
                <span className="horcrux-quiet horcrux-number">
                  {vm.cpu_cores} × {mebibytes(vm.memory_mb)}
                </span>
                <StatusLabel status={vm.status} />
                <Link to={`/vms/${encodeURIComponent(vm.id)}/console`}>{m.vm.tabs.console}</Link>
              </span>
            </li>
          ))}
        </ul>
      </CardBody>
    </Card>
  );
}

function RecentTasks() {
  const tasks = useTasks();
  return (
    <Card>
      <CardHeader actions={{ hasNoOffset: true, actions: <Link to="/tasks">{m.overview.allTasks}</Link> }}>
        <CardTitle component="h2">{m.overview.recentTasks}</CardTitle>
      </CardHeader>
      <CardBody>
        <Answer query={tasks}>
          {(rows) =>
            rows.length === 0 ? (
              <p className="horcrux-quiet">{m.task.none}</p>
            ) : (
              <ul>
                {rows.slice(0, TASKS_SHOWN).map((task) => (
                  <TaskRow key={task.id} task={task} />
                ))}
              </ul>
            )
          }
        </Answer>
      </CardBody>
    </Card>
  );
}
