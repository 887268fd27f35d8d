import { Divider, DropdownItem, DropdownList } from '@patternfly/react-core';
import { useNavigate } from 'react-router';

import type { Verb, VmListItem } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { ActionMenu } from '../ui/RowMenu';
import type { Asked } from './Ask';
import { usePower } from './actions';
import { HARSH, POWER, whyNot } from './power';

const COPIES = ['clone', 'template'] as const;

interface VmMenuProps {
  vm: VmListItem;
  ask: (asked: Asked) => void;
  /** Reasons of the server, which win over our own table. */
  reasonOf?: (verb: Verb) => string | undefined;
  isPlain?: boolean;
}

/** All verbs of one machine; what cannot be done says why. */
export function VmMenu({ vm, ask, reasonOf, isPlain }: VmMenuProps) {
  return (
    <ActionMenu label={m.vm.actionsOf(vm.name)} text={isPlain ? undefined : m.vm.actions}>
      <Items vm={vm} ask={ask} reasonOf={reasonOf} />
    </ActionMenu>
  );
}

function Items({ vm, ask, reasonOf }: VmMenuProps) {
  const { may } = useSession();
  const power = usePower();
  const navigate = useNavigate();
  const reason = (verb: Verb) => reasonOf?.(verb) ?? whyNot(vm, verb, may);
  return (
    <DropdownList>
      <DropdownItem
        isAriaDisabled={reason('console') !== ''}
        description={reason('console')}
        onClick={() => void navigate(`/vms/${encodeURIComponent(vm.id)}/console`)}
      >
        {m.vm.verb.console}
      </DropdownItem>
      <Divider component="li" />
      {POWER.map((verb) => (
        <DropdownItem
          key={verb}
          isAriaDisabled={reason(verb) !== ''}
          description={reason(verb) || m.vm.verbHelp[verb]}
          onClick={() => (HARSH.has(verb) ? ask({ verb, vm }) : void power(vm, verb))}
        >
          {m.vm.verb[verb]}
        </DropdownItem>
      ))}
      <Divider component="li" />
      {COPIES.map((verb) => (
        <DropdownItem
          key={verb}
          isAriaDisabled={reason('clone') !== ''}
          description={reason('clone')}
          onClick={() => ask({ verb, vm })}
        >
          {verb === 'clone' ? m.vm.verb.clone : m.template.make}
        </DropdownItem>
      ))}
      <Divider component="li" />
      <DropdownItem
        isDanger
        isAriaDisabled={whyNot(vm, 'delete', may) !== ''}
        description={whyNot(vm, 'delete', may)}
        onClick={() => ask({ verb: 'delete', vm })}
      >
        {m.vm.verb.delete}
      </DropdownItem>
    </DropdownList>
  );
}
