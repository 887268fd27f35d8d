import {
  Card,
  CardBody,
  CardHeader,
  CardTitle,
  ExpandableSection,
  Label,
  Title,
} from '@patternfly/react-core';
import { BoltIcon, CheckCircleIcon, ExclamationCircleIcon, ExclamationTriangleIcon } from '@patternfly/react-icons';
import type { UseQueryResult } from '@tanstack/react-query';

import type { Capability, Host } from '../api/types';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { CopyText } from '../ui/CopyText';
import { Facts } from '../ui/Facts';
import { gibibytes, mebibytes } from '../ui/format';

export function HostCard({ query }: { query: UseQueryResult<Host> }) {
  return (
    <Card>
      <Answer query={query}>{(host) => <HostBody host={host} />}</Answer>
    </Card>
  );
}

function HostBody({ host }: { host: Host }) {
  const lacking = host.capabilities.filter((capability) => !capability.ok);
  const able = host.capabilities.filter((capability) => capability.ok);
  return (
    <>
      <CardHeader actions={{ actions: <AccelLabel host={host} />, hasNoOffset: true }}>
        <CardTitle component="h2">{m.overview.host}</CardTitle>
      </CardHeader>
      <CardBody>
        <div className="horcrux-stack">
          {!isAccelerated(host) && <p className="horcrux-quiet">{m.overview.emulatedWhat}</p>}
          <HostFacts host={host} />
          {lacking.length === 0 ? <p>{m.overview.complete}</p> : <Lacking lacking={lacking} />}
          <ExpandableSection toggleText={m.overview.can(able.length)}>
            <ul className="horcrux-stack">
              {able.map((capability) => (
                <li key={capability.name}>
                  <span className="horcrux-line">
                    <CheckCircleIcon color="var(--pf-t--global--icon--color--status--success--default)" />
                    {capability.name}
                  </span>
                  <div className="horcrux-quiet horcrux-wrap">{capability.detail}</div>
                </li>
              ))}
            </ul>
          </ExpandableSection>
        </div>
      </CardBody>
    </>
  );
}

function isAccelerated(host: Host): boolean {
  return host.machines[host.architecture]?.accel === 'kvm';
}

function AccelLabel({ host }: { host: Host }) {
  return isAccelerated(host) ? (
    <Label color="green" icon={<BoltIcon />}>
      {m.overview.accelerated}
    </Label>
  ) : (
    <Label color="yellow" icon={<ExclamationTriangleIcon />} title={m.overview.emulatedWhat}>
      {m.overview.emulated}
    </Label>
  );
}

function HostFacts({ host }: { host: Host }) {
  const words = m.overview.facts;
  const facts: [string, string][] = [
    [m.vm.node, host.hostname],
    [words.system, host.system],
    [words.kernel, host.kernel],
    [words.cpu, `${host.cpu_model} · ${host.cpu_cores} × ${host.architecture}`],
    [words.memory, m.overview.freeMemory(mebibytes(host.memory_available_mb), mebibytes(host.memory_mb))],
    [words.state, m.overview.freeRoom(host.state_dir, gibibytes(host.state_dir_free_gb))],
  ];
  return <Facts facts={facts} width="7rem" />;
}

const COMMAND = /^(?:apt|echo|ip|modprobe|mount|pip|systemctl|sysctl|usermod|virtlogd|libvirtd)\b[^,;()]*$/;

/** A command can be copied; advice is a sentence. */
function Remedy({ text }: { text: string }) {
  if (!COMMAND.test(text)) return <div className="horcrux-quiet">{text}</div>;
  return <CopyText text={text} />;
}

function Lacking({ lacking }: { lacking: Capability[] }) {
  return (
    <section>
      <Title headingLevel="h3" size="md">
        {m.overview.lacks(lacking.length)}
      </Title>
      <ul>
        {lacking.map((capability) => (
          <li key={capability.name} className="horcrux-task">
            <span className="horcrux-line">
              {capability.needed ? (
                <ExclamationCircleIcon color="var(--pf-t--global--icon--color--status--danger--default)" />
              ) : (
                <ExclamationTriangleIcon color="var(--pf-t--global--icon--color--status--warning--default)" />
              )}
              <strong>{capability.name}</strong>
              {capability.needed && (
                <Label isCompact color="red">
                  {m.overview.needed}
                </Label>
              )}
            </span>
            <div className="horcrux-wrap">{capability.reason}</div>
            <Remedy text={capability.remedy} />
          </li>
        ))}
      </ul>
    </section>
  );
}
