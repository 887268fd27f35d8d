import {
  Divider,
  Dropdown,
  DropdownGroup,
  DropdownItem,
  DropdownList,
  Masthead,
  MastheadBrand,
  MastheadContent,
  MastheadMain,
  MastheadToggle,
  MenuToggle,
  NotificationBadge,
  NotificationBadgeVariant,
  PageToggleButton,
  Toolbar,
  ToolbarContent,
  ToolbarGroup,
  ToolbarItem,
} from '@patternfly/react-core';
import { BarsIcon, TasksIcon, UserCircleIcon } from '@patternfly/react-icons';
import { useState } from 'react';
import { Link, useNavigate } from 'react-router';

import { useTasks } from '../api/queries';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { useTaskAddress } from '../tasks/address';
import { isFinal } from '../tasks/words';
import { Logo } from './Logo';
import { type ThemeChoice, chooseTheme, themeChoice } from './theme';
import { useToast } from './toasts';

export function Header() {
  return (
    <Masthead display={{ default: 'inline' }}>
      <MastheadMain>
        <MastheadToggle>
          <PageToggleButton aria-label={m.nav.toggle} variant="plain" icon={<BarsIcon />} />
        </MastheadToggle>
        <MastheadBrand>
          <Link to="/" className="horcrux-brand">
            <Logo />
            Horcrux
          </Link>
        </MastheadBrand>
      </MastheadMain>
      <MastheadContent>
        <Toolbar isStatic>
          <ToolbarContent>
            <ToolbarGroup align={{ default: 'alignEnd' }} gap={{ default: 'gapSm' }}>
              <ToolbarItem>
                <TaskButton />
              </ToolbarItem>
              <ToolbarItem>
                <UserMenu />
              </ToolbarItem>
            </ToolbarGroup>
          </ToolbarContent>
        </Toolbar>
      </MastheadContent>
    </Masthead>
  );
}

function TaskButton() {
  const tasks = useTasks();
  const { isOpen, addressOf, close } = useTaskAddress();
  const navigate = useNavigate();
  const active = tasks.data?.filter((task) => !isFinal(task)).length ?? 0;
  return (
    <NotificationBadge
      variant={active > 0 ? NotificationBadgeVariant.unread : NotificationBadgeVariant.read}
      count={active}
      icon={<TasksIcon />}
      isExpanded={isOpen}
      aria-label={m.task.openDrawer(active)}
      onClick={() => (isOpen ? close() : void navigate(addressOf(null)))}
    />
  );
}

const THEMES: ThemeChoice[] = ['system', 'light', 'dark'];

function UserMenu() {
  const { me, signOut } = useSession();
  const [isOpen, setIsOpen] = useState(false);
  const [theme, setTheme] = useState(themeChoice);
  const navigate = useNavigate();
  const toast = useToast();
  return (
    <Dropdown
      isOpen={isOpen}
      onOpenChange={setIsOpen}
      onSelect={() => setIsOpen(false)}
      popperProps={{ position: 'right' }}
      toggle={(ref) => (
        <MenuToggle
          ref={ref}
          isExpanded={isOpen}
          onClick={() => setIsOpen(!isOpen)}
          icon={<UserCircleIcon />}
          aria-label={m.nav.userMenu(me.username)}
        >
          <span className="horcrux-user">{me.username}</span>
        </MenuToggle>
      )}
    >
      <DropdownGroup label={m.nav.signedInAs(me.username, m.roles[me.role])}>
        <DropdownList>
          <DropdownItem onClick={() => void navigate('/account')}>{m.account.title}</DropdownItem>
        </DropdownList>
      </DropdownGroup>
      <Divider />
      <DropdownGroup label={m.nav.theme}>
        <DropdownList>
          {THEMES.map((choice) => (
            <DropdownItem
              key={choice}
              isSelected={theme === choice}
              onClick={() => {
                chooseTheme(choice);
                setTheme(choice);
              }}
            >
              {m.nav.themes[choice]}
            </DropdownItem>
          ))}
        </DropdownList>
      </DropdownGroup>
      <Divider />
      <DropdownList>
        <DropdownItem onClick={() => void signOut().catch((error: unknown) => toast('danger', String(error)))}>{m.nav.signOut}</DropdownItem>
      </DropdownList>
    </Dropdown>
  );
}
