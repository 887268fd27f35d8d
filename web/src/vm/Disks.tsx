import { Card, CardBody, CardHeader, CardTitle, Label } from '@patternfly/react-core';
import { LinkIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { Suspense, lazy, useState } from 'react';
import { Link } from 'react-router';

import { useTemplates } from '../api/queries';
import type { VmDisk, VmView } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { RowMenu } from '../ui/RowMenu';
import { gibibytes } from '../ui/format';
import { templateOf } from './disk-words';

const MoveDisk = lazy(() => import('./MoveDisk'));
const GrowDisk = lazy(() => import('./GrowDisk'));

interface Asked {
  what: 'move' | 'grow';
  disk: VmDisk;
}

export function Disks({ vm }: { vm: VmView }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  return (
    <Card>
      <CardHeader>
        <CardTitle component="h2">{m.vm.disks}</CardTitle>
      </CardHeader>
      <CardBody>
        {vm.disks.length === 0 ? <p className="horcrux-quiet">{m.vm.noDisks}</p> : <DiskTable vm={vm} ask={setAsked} />}
      </CardBody>
      {asked && (
        <Suspense>
          {asked.what === 'move' && <MoveDisk vm={vm} disk={asked.disk} close={close} />}
          {asked.what === 'grow' && <GrowDisk vm={vm} disk={asked.disk} close={close} />}
        </Suspense>
      )}
    </Card>
  );
}

function DiskTable({ vm, ask }: { vm: VmView; ask: (asked: Asked) => void }) {
  const { may } = useSession();
  const head = m.vm.diskHead;
  const reason = !may('vm.write') ? m.vm.noRight : vm.operation ? m.vm.busyNow : '';
    return (
    <Table variant="compact" borders={false} aria-label={m.vm.disks}>
      <Thead>
        <Tr>
          <Th>{head.name}</Th>
          <Th>{head.volume}</Th>
          <Th>{head.size}</Th>
          <Th>{head.bus}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {vm.disks.map((disk) => (
          <Tr key={disk.name}>
            <Td dataLabel={head.name}>{disk.name}</Td>
            <Td dataLabel={head.volume}>
              <span>
                <Link to={`/storage/${encodeURIComponent(disk.storage_pool)}`}>{disk.storage_pool}</Link>/{disk.volume}
              </span>
              {disk.base && <LinkedClone disk={disk} />}
            </Td>
            <Td dataLabel={head.size} modifier="nowrap" className="horcrux-number">
              {gibibytes(disk.size_gb)}
            </Td>
            <Td dataLabel={head.bus}>
              {disk.bus}, {disk.format}
            </Td>
            <Td isActionCell>
              <RowMenu
                label={m.disk.actionsOf(disk.name)}
                actions={[
                  { title: m.disk.grow, run: () => ask({ what: 'grow', disk }), reason },
                  { title: m.disk.move, run: () => ask({ what: 'move', disk }), reason },
                ]}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function LinkedClone({ disk }: { disk: VmDisk }) {
  const templates = useTemplates();
  const template = templateOf(disk, templates.data ?? []);
  return (
    <div className="horcrux-line horcrux-quiet">
      <Label isCompact variant="outline" icon={<LinkIcon />}>
        {m.disk.linked}
      </Label>
      {template && <Link to={`/templates/${encodeURIComponent(template.id)}`}>{template.name}</Link>}
    </div>
  );
}
