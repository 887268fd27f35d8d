import type { ReactNode } from 'react';

/** What a tab is about, with what can be done beside it. */
export function Intro({ text, children }: { text: string; children: ReactNode }) {
  return (
    <div className="horcrux-intro">
      <p className="horcrux-quiet">{text}</p>
      <div className="horcrux-line">{children}</div>
    </div>
  );
}
