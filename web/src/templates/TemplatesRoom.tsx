import { Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, PageSection } from '@patternfly/react-core';
import { LayerGroupIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useState } from 'react';
import { Link } from 'react-router';

import { useTemplates } from '../api/queries';
import type { Template } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { LinkButton } from '../ui/LinkButton';
import { Room } from '../ui/Room';
import { RowMenu } from '../ui/RowMenu';
import { ago, gibibytes, mebibytes } from '../ui/format';
import { useNow } from '../ui/now';
import CloneTemplate from './CloneTemplate';
import DeleteTemplate from './DeleteTemplate';
import { TemplateState } from './TemplateState';

interface Asked {
  what: 'clone' | 'delete';
  template: Template;
}

export default function TemplatesRoom() {
  const templates = useTemplates();
  const [asked, setAsked] = useState<Asked | null>(null);
  const close = () => setAsked(null);
  return (
    <Room title={m.template.title} intro={m.template.intro}>
      <PageSection hasBodyWrapper={false}>
        <Answer query={templates}>
          {(rows) => (rows.length === 0 ? <NoTemplates /> : <TemplateTable templates={rows} ask={setAsked} />)}
        </Answer>
      </PageSection>
      {asked?.what === 'clone' && <CloneTemplate template={asked.template} close={close} />}
      {asked?.what === 'delete' && <DeleteTemplate template={asked.template} close={close} />}
    </Room>
  );
}

function NoTemplates() {
  return (
    <EmptyState titleText={m.template.none} headingLevel="h2" icon={LayerGroupIcon}>
      <EmptyStateBody>{m.template.noneHow}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <LinkButton variant="link" to="/vms">
            {m.template.toVms}
          </LinkButton>
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

interface TableProps {
  templates: Template[];
  ask: (asked: Asked) => void;
}

function TemplateTable({ templates, ask }: TableProps) {
  const now = useNow();
  const { may } = useSession();
  const mayWrite = may('vm.write');
  return (
    <Table variant="compact" aria-label={m.template.title}>
      <Thead>
        <Tr>
          <Th>{m.template.name}</Th>
          <Th>{m.template.machine}</Th>
          <Th>{m.template.disks}</Th>
          <Th modifier="nowrap">{m.template.clones}</Th>
          <Th>{m.template.made}</Th>
          <Th screenReaderText={m.template.clone} />
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {templates.map((template) => (
          <Tr key={template.id}>
            <Td dataLabel={m.template.name}>
              <Link to={`/templates/${encodeURIComponent(template.id)}`}>{template.name}</Link>
              <TemplateState state={template.state} />
              {template.name !== template.id && <div className="horcrux-quiet">{template.id}</div>}
            </Td>
            <Td dataLabel={m.template.machine} className="horcrux-number">
              {template.cpu_cores} × {mebibytes(template.memory_mb)}, {template.architecture}
            </Td>
            <Td dataLabel={m.template.disks} className="horcrux-number">
              {template.disks.map((disk) => gibibytes(disk.size_gb)).join(' + ') || m.none}
            </Td>
            <Td dataLabel={m.template.clones} className="horcrux-number">
              {template.linked_clones.length || m.none}
            </Td>
            <Td dataLabel={m.template.made} modifier="nowrap">
              {ago(template.created_at, now)}
            </Td>
            <Td dataLabel={m.template.clone}>
              <Button variant="secondary" size="sm" isDisabled={!mayWrite || template.state !== 'ready'} onClick={() => ask({ what: 'clone', template })}>
                {m.template.clone}
              </Button>
            </Td>
            <Td isActionCell>
              <RowMenu
                isDisabled={!mayWrite || template.state !== 'ready'}
                label={m.template.actionsOf(template.name)}
                actions={[
                  { title: m.template.clone, run: () => ask({ what: 'clone', template }) },
                  { title: m.template.delete, isDanger: true, run: () => ask({ what: 'delete', template }) },
                ]}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}
