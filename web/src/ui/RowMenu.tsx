import { Divider, Dropdown, DropdownItem, DropdownList, MenuToggle } from '@patternfly/react-core';
import { EllipsisVIcon } from '@patternfly/react-icons';
import { useState } from 'react';

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
          variant="plain"
          icon={<EllipsisVIcon />}
          isExpanded={isOpen}
          isDisabled={isDisabled}
          aria-label={label}
          onClick={() => setIsOpen(!isOpen)}
        />
      )}
    >
      <DropdownList>
        {actions.map((action, at) =>
          action === 'line' ? <Divider key={at} component="li" /> : <Item key={action.title} action={action} />,
        )}
      </DropdownList>
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
