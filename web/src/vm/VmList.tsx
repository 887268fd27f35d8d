import { Button, EmptyState, EmptyStateActions, EmptyStateBody, EmptyStateFooter, PageSection } from '@patternfly/react-core';
import { PlusCircleIcon, VirtualMachineIcon } from '@patternfly/react-icons';
import { Suspense, lazy, useCallback, useDeferredValue, useMemo, useState } from 'react';
import { useSearchParams } from 'react-router';

import { useVms } from '../api/queries';
import type { VmListItem } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import { LinkButton } from '../ui/LinkButton';
import { Room } from '../ui/Room';
import type { Asked } from './Ask';
import { VmTable } from './VmTable';
import { VmToolbar } from './VmToolbar';
import { choiceOf, pageOf, select } from './select';

const Ask = lazy(() => import('./Ask'));

export default function VmList() {
  const vms = useVms();
  return (
    <Room title={m.vm.title} actions={<CreateButton />}>
      <Answer query={vms}>{(rows) => (rows.length === 0 ? <NoVms /> : <Machines vms={rows} />)}</Answer>
    </Room>
  );
}

function CreateButton() {
  const { may } = useSession();
  const isAllowed = may('vm.write');
  if (isAllowed) {
    return (
      <LinkButton icon={<PlusCircleIcon />} to="/vms/new">
        {m.vm.create}
      </LinkButton>
    );
  }
  return (
    <Button icon={<PlusCircleIcon />} isAriaDisabled title={m.vm.noRight}>
      {m.vm.create}
    </Button>
  );
}

function NoVms() {
  return (
    <EmptyState titleText={m.vm.none} headingLevel="h2" icon={VirtualMachineIcon}>
      <EmptyStateBody>{m.vm.noneHow}</EmptyStateBody>
      <EmptyStateFooter>
        <EmptyStateActions>
          <CreateButton />
        </EmptyStateActions>
      </EmptyStateFooter>
    </EmptyState>
  );
}

function Machines({ vms }: { vms: VmListItem[] }) {
  const [query, setQuery] = useSearchParams();
  const choice = useMemo(() => choiceOf(query), [query]);
  const found = useMemo(() => select(vms, choice), [vms, choice]);
  const shown = pageOf(found, choice.page, choice.perPage);
  const rows = useDeferredValue(shown.rows);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [asked, setAsked] = useState<Asked | null>(null);
  const change = useCallback(
    (changes: Record<string, string>) =>
      setQuery(
        (before) => {
          for (const [name, value] of Object.entries(changes)) {
            if (value) before.set(name, value);
            else before.delete(name);
          }
          return before;
        },
        { replace: true },
      ),
    [setQuery],
  );
  return (
    <PageSection hasBodyWrapper={false}>
      <VmToolbar
        choice={choice}
        found={found}
        page={shown.page}
        chosen={vms.filter((vm) => chosen.has(vm.id))}
        setChosen={setChosen}
        change={change}
      />
      {found.length === 0 ? (
        <EmptyState titleText={m.vm.noneFound} headingLevel="h2" variant="sm">
          <Button variant="link" onClick={() => change({ q: '', status: '', tag: '', page: '' })}>
            {m.vm.clear}
          </Button>
        </EmptyState>
      ) : (
        <VmTable rows={rows} choice={choice} chosen={chosen} setChosen={setChosen} change={change} ask={setAsked} />
      )}
      {asked && (
        <Suspense>
          <Ask asked={asked} close={() => setAsked(null)} />
        </Suspense>
      )}
    </PageSection>
  );
}
