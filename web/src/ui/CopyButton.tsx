import { Button } from '@patternfly/react-core';
import { CheckIcon, CopyIcon } from '@patternfly/react-icons';
import { type ReactNode, useState } from 'react';

import { m } from '../messages';

/** Copies what is too long to stand in its name. */
export function CopyButton({ text, children }: { text: string; children: ReactNode }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => setIsCopied(true));
  };
  return (
    <Button variant="secondary" size="sm" icon={isCopied ? <CheckIcon /> : <CopyIcon />} onClick={copy}>
      {isCopied ? m.copied : children}
    </Button>
  );
}
