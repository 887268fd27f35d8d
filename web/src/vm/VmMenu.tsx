import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from '@patternfly/react-core';
import { EllipsisVIcon } from '@patternfly/react-icons';
import { useState } from 'react';
import { useNavigate } from 'react-router';

import type { Verb, VmListItem } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
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
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Dropdown
      isOpen={isOpen}
      onOpenChange={setIsOpen}
      onSelect={() => setIsOpen(false)}
      popperProps={{ position: 'right' }}
      toggle={(ref) => (
        <MenuToggle
          ref={ref}
          variant={isPlain ? 'plain' : 'secondary'}
          icon={isPlain ? <EllipsisVIcon /> : undefined}
          isExpanded={isOpen}
          aria-label={m.vm.actionsOf(vm.name)}
          onClick={() => setIsOpen(!isOpen)}
        >
          {isPlain ? undefined : m.vm.actions}
        </MenuToggle>
      )}
    >
      {isOpen && <Items vm={vm} ask={ask} reasonOf={reasonOf} />}
    </Dropdown>
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
