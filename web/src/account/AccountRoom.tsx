import { PageSection, Tab, TabTitleText, Tabs } from '@patternfly/react-core';
import { useNavigate, useParams } from 'react-router';

import { NotFound } from '../app/NotFound';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Room } from '../ui/Room';
import { PasswordForm } from './PasswordForm';
import { Tokens } from './Tokens';

const TABS = ['tokens', 'password'] as const;

export default function AccountRoom() {
  const { me } = useSession();
  const { tab = 'tokens' } = useParams();
  const navigate = useNavigate();
  if (!TABS.includes(tab as 'tokens')) return <NotFound />;
  return (
    <Room title={m.account.title} focusKey="account" intro={m.account.intro(me.username, m.roles[me.role])}>
      <PageSection hasBodyWrapper={false} type="tabs">
        <Tabs
          aria-label={m.account.title}
          activeKey={tab}
          component="nav"
          onSelect={(event, key) => {
            event.preventDefault();
            void navigate(`/account/${String(key)}`);
          }}
        >
          {TABS.map((name) => (
            <Tab key={name} eventKey={name} tabContentId="tab-body" href={`/account/${name}`} title={<TabTitleText>{m.account[name]}</TabTitleText>} />
          ))}
        </Tabs>
      </PageSection>
      <PageSection hasBodyWrapper={false} isFilled id="tab-body">
        {tab === 'password' ? <PasswordForm /> : <Tokens />}
      </PageSection>
    </Room>
  );
}
