import {
  Button,
  Card,
  CardBody,
  CardHeader,
  CardTitle,
  PageSection,
} from '@patternfly/react-core';
import { CloneIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { type ReactNode, useState } from 'react';
import { Link, useNavigate, useParams } from 'react-router';

import { useTemplates } from '../api/queries';
import type { Template } from '../api/types';
import { NotFound } from '../app/NotFound';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { Facts } from '../ui/Facts';
import { Room } from '../ui/Room';
import { gibibytes, mebibytes, moment } from '../ui/format';
import CloneTemplate from './CloneTemplate';
import DeleteTemplate, { CloneLinks } from './DeleteTemplate';
import { TemplateState } from './TemplateState';

const CRUMBS = [{ to: '/templates', text: m.template.title }];

export default function TemplateRoom() {
  const { id = '' } = useParams();
  const templates = useTemplates();
  return (
    <Answer query={templates}>
      {(rows) => {
        const template = rows.find((each) => each.id === id);
        if (template) return <TemplatePage template={template} />;
        return (
          <NotFound
            title={m.template.unknown}
            body={m.template.unknownBody(id)}
            back={{ to: '/templates', text: m.template.toList }}
          />
        );
      }}
    </Answer>
  );
}

function TemplatePage({ template }: { template: Template }) {
  const { may } = useSession();
  const navigate = useNavigate();
  const [asked, setAsked] = useState<'clone' | 'delete' | null>(null);
  const close = () => setAsked(null);
  const mayWrite = may('vm.write') && template.state === 'ready';
  return (
    <Room
      title={template.name}
      focusKey={template.id}
      crumbs={CRUMBS}
      labels={<TemplateState state={template.state} />}
      actions={
        <>
          <Button icon={<CloneIcon />} isDisabled={!mayWrite} onClick={() => setAsked('clone')}>
            {m.template.clone}
          </Button>
          <Button variant="secondary" isDanger isDisabled={!mayWrite} onClick={() => setAsked('delete')}>
            {m.template.delete}
          </Button>
        </>
      }
    >
      <PageSection hasBodyWrapper={false}>
        <div className="horcrux-columns horcrux-halves">
          <Part title={m.template.machine}>
            <Facts facts={factsOf(template)} />
          </Part>
          <div className="horcrux-stack">
            <Part title={m.template.disks}>
              <Disks template={template} />
            </Part>
            <Part title={m.template.clones}>
              <Clones ids={template.linked_clones} />
            </Part>
          </div>
        </div>
      </PageSection>
      {asked === 'clone' && <CloneTemplate template={template} close={close} />}
      {asked === 'delete' && <DeleteTemplate template={template} close={close} done={() => void navigate('/templates')} />}
    </Room>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Card>
      <CardHeader>
        <CardTitle component="h2">{title}</CardTitle>
      </CardHeader>
      <CardBody>{children}</CardBody>
    </Card>
  );
}

function factsOf(template: Template): [string, ReactNode][] {
  const rows: [string, ReactNode][] = [
    [m.vm.id, <span key="id" className="horcrux-mono">{template.id}</span>],
    [m.vm.cpu, template.cpu_cores],
    [m.vm.memory, mebibytes(template.memory_mb)],
    [m.vm.architecture, template.architecture],
    [m.vm.facts.firmware, template.firmware === 'uefi' ? m.vm.new.uefi : m.vm.new.bios],
    [m.vm.node, template.node],
    [m.template.made, moment(template.created_at)],
    [m.template.by, template.user || m.none],
  ];
  if (template.source_vm) rows.push([m.template.source, template.source_vm]);
  if (template.notes) rows.push([m.template.notes, <span key="notes" className="horcrux-notes">{template.notes}</span>]);
  return rows;
}

function Disks({ template }: { template: Template }) {
  const head = m.template.diskHead;
  if (template.disks.length === 0) return <p className="horcrux-quiet">{m.vm.noDisks}</p>;
  return (
    <Table variant="compact" borders={false} aria-label={m.template.disks}>
      <Thead>
        <Tr>
          <Th>{head.name}</Th>
          <Th>{head.volume}</Th>
          <Th>{head.size}</Th>
          <Th modifier="nowrap">{head.format}</Th>
        </Tr>
      </Thead>
      <Tbody>
        {template.disks.map((disk) => (
          <Tr key={disk.name}>
            <Td dataLabel={head.name}>{disk.name}</Td>
            <Td dataLabel={head.volume}>
              <span>
                <Link to={`/storage/${encodeURIComponent(disk.storage_pool)}`}>{disk.storage_pool}</Link>/{disk.volume}
              </span>
            </Td>
            <Td dataLabel={head.size} modifier="nowrap" className="horcrux-number">
              {gibibytes(disk.size_gb)}
            </Td>
            <Td dataLabel={head.format}>{disk.format}</Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function Clones({ ids }: { ids: string[] }) {
  if (ids.length === 0) return <p className="horcrux-quiet">{m.template.noClones}</p>;
  return (
    <div className="horcrux-stack">
      <p className="horcrux-quiet">{m.template.clonesIntro}</p>
      <CloneLinks ids={ids} />
    </div>
  );
}
