import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from '@patternfly/react-core';
import { EllipsisVIcon } from '@patternfly/react-icons';
import { type ReactNode, useState } from 'react';

export interface RowAction {
  title: string;
  run: () => void;
  isDanger?: boolean;
  /** Why it cannot be done now; it stays in the menu and says so. */
  reason?: string;
}

interface RowMenuProps {
  /** Whose actions these are: PatternFly's own menu of a row calls every one of them "Kebab toggle". */
  label: string;
  actions: (RowAction | 'line')[];
  isDisabled?: boolean;
}

export function RowMenu({ label, actions, isDisabled }: RowMenuProps) {
  return (
    <ActionMenu label={label} isDisabled={isDisabled}>
      <DropdownList>
        {actions.map((action, at) =>
          action === 'line' ? <Divider key={at} component="li" /> : <Item key={action.title} action={action} />,
        )}
      </DropdownList>
    </ActionMenu>
  );
}

interface ActionMenuProps {
  label: string;
  /** What the button says; three dots without it. */
  text?: string;
  isDisabled?: boolean;
  /** Drawn while it is open. */
  children: ReactNode;
}

export function ActionMenu({ label, text, isDisabled, children }: ActionMenuProps) {
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
          variant={text ? 'secondary' : 'plain'}
          icon={text ? undefined : <EllipsisVIcon />}
          isExpanded={isOpen}
          isDisabled={isDisabled}
          aria-label={label}
          onClick={() => setIsOpen(!isOpen)}
        >
          {text}
        </MenuToggle>
      )}
    >
      {isOpen && children}
    </Dropdown>
  );
}

function Item({ action: { title, run, isDanger, reason } }: { action: RowAction }) {
  return (
    <DropdownItem isDanger={isDanger} isAriaDisabled={Boolean(reason)} description={reason ? reason : undefined} onClick={run}>
      {title}
    </DropdownItem>
  );
}
