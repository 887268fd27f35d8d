import {
  Button,
  Card,
  CardBody,
  CardHeader,
  CardTitle,
} from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { type ReactNode, useState } from 'react';

import type { VmView } from '../api/types';
import { m } from '../messages';
import { Facts } from '../ui/Facts';
import { ago, mebibytes, moment } from '../ui/format';
import { useNow } from '../ui/now';
import { Disks } from './Disks';
import { EditVm } from './EditVm';

export function VmOverview({ vm }: { vm: VmView }) {
  return (
    <div className="horcrux-columns horcrux-halves">
      <MachineCard vm={vm} />
      <div className="horcrux-stack">
        <Disks vm={vm} />
        <Nics vm={vm} />
      </div>
    </div>
  );
}

function MachineCard({ vm }: { vm: VmView }) {
  const [isEditing, setIsEditing] = useState(false);
  const update = vm.allowed_actions.update;
  const mayEdit = update?.allowed ?? true;
  return (
    <Card>
      <CardHeader
        actions={{
          hasNoOffset: true,
          actions: (
            <Button
              variant="link"
              isInline
              isAriaDisabled={!mayEdit}
              title={mayEdit ? undefined : update?.reason}
              onClick={() => setIsEditing(true)}
            >
              {m.vm.edit}
            </Button>
          ),
        }}
      >
        <CardTitle component="h2">{m.vm.machine}</CardTitle>
      </CardHeader>
      <CardBody>
        <Facts facts={factsOf(vm, useNow())} />
      </CardBody>
      {isEditing && <EditVm vm={vm} close={() => setIsEditing(false)} />}
    </Card>
  );
}

function factsOf(vm: VmView, now: number): [string, ReactNode][] {
  const facts = m.vm.facts;
  const rows: [string, ReactNode][] = [
    [m.vm.id, <span key="id" className="horcrux-mono">{vm.id}</span>],
    [m.vm.cpu, vm.cpu_cores],
    [m.vm.memory, mebibytes(vm.memory_mb)],
    [m.vm.architecture, vm.architecture],
    [facts.firmware, vm.firmware === 'uefi' ? m.vm.new.uefi : m.vm.new.bios],
    [facts.cpuModel, vm.cpu_model ?? m.vm.byHost],
    [m.vm.node, vm.node],
    [facts.autostart, vm.autostart ? m.vm.yes : m.vm.no],
    [facts.cdrom, vm.cdrom ?? m.none],
  ];
  if (vm.since) rows.push([facts.since, `${ago(vm.since, now)}${vm.status_reason ? ` (${vm.status_reason})` : ''}`]);
  if (vm.cloud_init) rows.push([facts.cloudInit, cloudInitOf(vm)]);
  rows.push([facts.created, moment(vm.created_at)], [facts.uuid, <span key="uuid" className="horcrux-mono">{vm.uuid}</span>]);
  if (vm.notes) rows.push([facts.notes, <span key="notes" className="horcrux-notes">{vm.notes}</span>]);
  return rows;
}

function cloudInitOf(vm: VmView): string {
  const seed = vm.cloud_init;
  const parts = [seed?.user, seed?.ssh_keys?.length ? `${seed.ssh_keys.length} SSH` : null, seed?.user_data ? 'user-data' : null];
  return parts.filter(Boolean).join(', ') || m.vm.yes;
}

function Nics({ vm }: { vm: VmView }) {
  const head = m.vm.nicHead;
  return (
    <Card>
      <CardHeader>
        <CardTitle component="h2">{m.vm.nics}</CardTitle>
      </CardHeader>
      <CardBody>
        {vm.nics.length === 0 ? (
          <p className="horcrux-quiet">{m.vm.noNics}</p>
        ) : (
          <Table variant="compact" borders={false} aria-label={m.vm.nics}>
            <Thead>
              <Tr>
                <Th>{head.mac}</Th>
                <Th>{head.net}</Th>
                <Th modifier="nowrap">{head.model}</Th>
              </Tr>
            </Thead>
            <Tbody>
              {vm.nics.map((nic) => (
                <Tr key={nic.mac}>
                  <Td dataLabel={head.mac} className="horcrux-mono">
                    {nic.mac}
                  </Td>
                  <Td dataLabel={head.net}>{nic.vnet ?? nic.bridge ?? m.vm.userNet}</Td>
                  <Td dataLabel={head.model}>{nic.model}</Td>
                </Tr>
              ))}
            </Tbody>
          </Table>
        )}
      </CardBody>
    </Card>
  );
}
