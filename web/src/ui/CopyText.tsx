import { Button } from '@patternfly/react-core';
import { CheckIcon, CopyIcon } from '@patternfly/react-icons';
import { useState } from 'react';

import { m } from '../messages';

/** A text for machines with a button that copies it. */
export function CopyText({ text }: { text: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => setIsCopied(true));
  };
  return (
    <span className="horcrux-line">
      <code className="horcrux-mono horcrux-wrap">{text}</code>
      <Button
        variant="plain"
        size="sm"
        hasNoPadding
        aria-label={isCopied ? m.copied : m.copyText(text)}
        icon={isCopied ? <CheckIcon /> : <CopyIcon />}
        onClick={copy}
      />
    </span>
  );
}
