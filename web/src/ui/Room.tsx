import { Breadcrumb, BreadcrumbItem, Content, PageSection } from '@patternfly/react-core';
import { type ReactNode, useEffect, useRef } from 'react';
import { Link, useLocation } from 'react-router';

interface RoomProps {
  title: string;
  /** What follows the name in the heading: labels. */
  labels?: ReactNode;
  intro?: ReactNode;
  actions?: ReactNode;
  crumbs?: { to: string; text: string }[];
  /** Tabs of one object share a room: focus moves to the heading only when this changes. */
  focusKey?: string;
  children: ReactNode;
}

/** A page: its title in the tab, its heading focused after navigation, so that keyboard and screen reader start there. */
export function Room({ title, labels, intro, actions, crumbs, focusKey, children }: RoomProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { pathname } = useLocation();
  useEffect(() => heading.current?.focus({ preventScroll: true }), [focusKey ?? pathname]); // eslint-disable-line react-hooks/exhaustive-deps -- one or the other names the room
  return (
    <>
      <title>{`${title} · Horcrux`}</title>
      <PageSection hasBodyWrapper={false}>
        {crumbs && (
          <Breadcrumb>
            {crumbs.map((crumb) => (
              <BreadcrumbItem key={crumb.to} render={({ className }) => <Link className={className} to={crumb.to}>{crumb.text}</Link>} />
            ))}
            <BreadcrumbItem isActive>{title}</BreadcrumbItem>
          </Breadcrumb>
        )}
        <div className="horcrux-line horcrux-between">
          <div className="horcrux-line">
            <Content component="h1" ref={heading} tabIndex={-1} className="horcrux-wrap">
              {title}
            </Content>
            {labels}
          </div>
          {actions && <div className="horcrux-line">{actions}</div>}
        </div>
        {intro && <Content component="p" className="horcrux-quiet">{intro}</Content>}
      </PageSection>
      {children}
    </>
  );
}
