import {
  Button,
  FormSelect,
  FormSelectOption,
  Label,
  Pagination,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from '@patternfly/react-core';
import { OffIcon, PlayIcon, PowerOffIcon } from '@patternfly/react-icons';
import { type ReactNode, Suspense, lazy, useState } from 'react';

import type { RunState, VmListItem } from '../api/types';
import { useSession } from '../auth/session';
import { useToast } from '../app/toasts';
import { m } from '../messages';
import { Filter } from '../ui/Filter';
import { usePower } from './actions';
import { type PowerVerb, HARSH, whyNot } from './power';
import type { Choice } from './select';

const Confirm = lazy(() => import('../ui/Confirm'));

interface VmToolbarProps {
  choice: Choice;
  found: VmListItem[];
  page: number;
  chosen: VmListItem[];
  setChosen: (chosen: ReadonlySet<string>) => void;
  change: (changes: Record<string, string>) => void;
}

export function VmToolbar({ choice, found, page, chosen, setChosen, change }: VmToolbarProps) {
  return (
    <Toolbar clearAllFilters={() => change({ q: '', status: '', tag: '', page: '' })}>
      <ToolbarContent>
        <Filters choice={choice} change={change} />
        {chosen.length > 0 && <Bulk chosen={chosen} clear={() => setChosen(new Set())} />}
        {chosen.length === 0 && (
          <ToolbarItem>
            <Button variant="link" onClick={() => setChosen(new Set(found.map((vm) => vm.id)))}>
              {m.vm.selectAll}
            </Button>
          </ToolbarItem>
        )}
        <ToolbarItem variant="pagination" align={{ default: 'alignEnd' }}>
          <Pagination
            isCompact
            itemCount={found.length}
            page={page}
            perPage={choice.perPage}
            onSetPage={(_event, next) => change({ page: next === 1 ? '' : String(next) })}
            onPerPageSelect={(_event, per) => change({ per: String(per), page: '' })}
          />
        </ToolbarItem>
      </ToolbarContent>
    </Toolbar>
  );
}

const STATES: RunState[] = ['running', 'stopped', 'paused', 'crashed', 'stopping', 'creating', 'deleting', 'unknown'];

function Filters({ choice, change }: Pick<VmToolbarProps, 'choice' | 'change'>) {
  return (
    <ToolbarGroup variant="filter-group">
      <ToolbarItem>
        <Filter label={m.vm.filter} value={choice.text} change={(text) => change({ q: text, page: '' })} />
      </ToolbarItem>
      <ToolbarItem>
        <FormSelect
          aria-label={m.vm.byStatus}
          value={choice.status}
          onChange={(_event, value) => change({ status: value, page: '' })}
        >
          <FormSelectOption value="" label={m.vm.anyStatus} />
          {STATES.map((state) => (
            <FormSelectOption key={state} value={state} label={m.vm.state[state]} />
          ))}
        </FormSelect>
      </ToolbarItem>
      {choice.tag && (
        <ToolbarItem>
          <Label variant="outline" onClose={() => change({ tag: '', page: '' })}>
            {choice.tag}
          </Label>
        </ToolbarItem>
      )}
    </ToolbarGroup>
  );
}

const BULK: { verb: PowerVerb; icon: ReactNode }[] = [
  { verb: 'start', icon: <PlayIcon /> },
  { verb: 'shutdown', icon: <PowerOffIcon /> },
  { verb: 'stop', icon: <OffIcon /> },
];

function Bulk({ chosen, clear }: { chosen: VmListItem[]; clear: () => void }) {
  const { may } = useSession();
  const power = usePower();
  const toast = useToast();
  const [asked, setAsked] = useState<PowerVerb | null>(null);
  const run = async (verb: PowerVerb) => {
    const able = chosen.filter((vm) => whyNot(vm, verb, may) === '');
    if (able.length < chosen.length) toast('info', m.vm.bulkSkipped(chosen.length - able.length));
    clear();
    await Promise.all(able.map((vm) => power(vm, verb)));
  };
  return (
    <ToolbarGroup>
      <ToolbarItem alignSelf="center">{m.vm.selected(chosen.length)}</ToolbarItem>
      {BULK.map(({ verb, icon }) => (
        <ToolbarItem key={verb}>
          <Button
            variant="secondary"
            icon={icon}
            isDisabled={!may('vm.power')}
            onClick={() => (HARSH.has(verb) ? setAsked(verb) : void run(verb))}
          >
            {m.vm.verb[verb]}
          </Button>
        </ToolbarItem>
      ))}
      <ToolbarItem>
        <Button variant="link" onClick={clear}>
          {m.cancel}
        </Button>
      </ToolbarItem>
      {asked && (
        <Suspense>
          <Confirm
            title={m.vm.bulkTitle(m.vm.verb[asked], chosen.length)}
            action={m.vm.verb[asked]}
            isDanger
            run={() => run(asked)}
            close={() => setAsked(null)}
          >
            <p>{m.vm.stopBody}</p>
          </Confirm>
        </Suspense>
      )}
    </ToolbarGroup>
  );
}
