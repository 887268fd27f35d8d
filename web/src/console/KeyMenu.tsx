import { Dropdown, DropdownItem, DropdownList, MenuToggle } from '@patternfly/react-core';
import { useState } from 'react';

import { m } from '../messages';
import { CHORDS, type Chord } from './keys';

export function KeyMenu({ isDisabled, send }: { isDisabled: boolean; send: (chord: Chord) => void }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <Dropdown
      isOpen={isOpen}
      isScrollable
      onOpenChange={setIsOpen}
      onSelect={() => setIsOpen(false)}
      toggle={(ref) => (
        <MenuToggle ref={ref} isDisabled={isDisabled} isExpanded={isOpen} onClick={() => setIsOpen(!isOpen)}>
          {m.console.keys}
        </MenuToggle>
      )}
    >
      <DropdownList>
        {CHORDS.map((chord) => (
          <DropdownItem key={chord.name} onClick={() => send(chord)}>
            {chord.name}
          </DropdownItem>
        ))}
      </DropdownList>
    </Dropdown>
  );
}
