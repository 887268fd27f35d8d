import { TextInput } from '@patternfly/react-core';
import { SearchIcon } from '@patternfly/react-icons';

/** Narrows the list below it while one types. */
export function Filter({ label, value, change }: { label: string; value: string; change: (value: string) => void }) {
  return (
    <TextInput
      type="search"
      customIcon={<SearchIcon />}
      aria-label={label}
      placeholder={label}
      value={value}
      onChange={(_event, text) => change(text)}
    />
  );
}
