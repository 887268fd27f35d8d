import { DescriptionList, DescriptionListDescription, DescriptionListGroup, DescriptionListTerm } from '@patternfly/react-core';
import type { ReactNode } from 'react';

interface FactsProps {
  facts: [string, ReactNode][];
  /** Of the names. */
  width?: string;
}

/** Names and values beside each other. */
export function Facts({ facts, width = '9.5rem' }: FactsProps) {
  return (
    <DescriptionList isHorizontal isCompact termWidth={width}>
      {facts.map(([term, value]) => (
        <DescriptionListGroup key={term}>
          <DescriptionListTerm>{term}</DescriptionListTerm>
          <DescriptionListDescription className="horcrux-wrap">{value}</DescriptionListDescription>
        </DescriptionListGroup>
      ))}
    </DescriptionList>
  );
}
