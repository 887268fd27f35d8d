import { Nav, NavGroup, NavItem, NavList, PageSidebar, PageSidebarBody } from '@patternfly/react-core';
import { DatabaseIcon, KeyIcon, LayerGroupIcon, ListIcon, NetworkIcon, TachometerAltIcon, UsersIcon, VirtualMachineIcon } from '@patternfly/react-icons';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'react-router';

import { useSession } from '../auth/session';
import { m } from '../messages';

interface Place {
  to: string;
  text: string;
  icon: ReactNode;
  /** Another address that belongs to it. */
  also?: string;
}

const PLACES: Place[] = [
  { to: '/', text: m.nav.overview, icon: <TachometerAltIcon /> },
  { to: '/vms', text: m.nav.vms, icon: <VirtualMachineIcon /> },
  { to: '/templates', text: m.nav.templates, icon: <LayerGroupIcon /> },
  { to: '/storage', text: m.nav.storage, icon: <DatabaseIcon />, also: '/quotas' },
  { to: '/peers', text: m.nav.peers, icon: <NetworkIcon /> },
  { to: '/tasks', text: m.nav.tasks, icon: <ListIcon /> },
];

const PEOPLE: Place[] = [{ to: '/users', text: m.nav.users, icon: <UsersIcon /> }];
const SELF: Place[] = [{ to: '/account', text: m.nav.account, icon: <KeyIcon /> }];

export function Side() {
  const { may } = useSession();
  return (
    <PageSidebar>
      <PageSidebarBody>
        <Nav aria-label={m.nav.main}>
          <NavList>
            <Places places={PLACES} />
          </NavList>
          <NavGroup title={m.nav.access}>
            <Places places={may('user.admin') ? [...SELF, ...PEOPLE] : SELF} />
          </NavGroup>
        </Nav>
      </PageSidebarBody>
    </PageSidebar>
  );
}

function Places({ places }: { places: Place[] }) {
  const { pathname } = useLocation();
  return places.map((place) => (
    <NavItem key={place.to} itemId={place.to} isActive={isWithin(pathname, place.to) || (place.also !== undefined && isWithin(pathname, place.also))}>
      <Link to={place.to}>
        <span className="horcrux-nav-icon">{place.icon}</span>
        {place.text}
      </Link>
    </NavItem>
  ));
}

function isWithin(pathname: string, place: string): boolean {
  return place === '/' ? pathname === '/' : pathname === place || pathname.startsWith(`${place}/`);
}
