import { PageSection, Tab, TabTitleText, Tabs } from '@patternfly/react-core';
import { useNavigate } from 'react-router';

import { m } from '../messages';

const TABS = [
  { key: 'pools', to: '/storage', text: m.storage.pools },
  { key: 'quotas', to: '/quotas', text: m.quota.title },
] as const;

/** Quotas have an address of their own: `/storage/quotas` would be that of a pool with this name. */
export function StorageTabs({ tab }: { tab: (typeof TABS)[number]['key'] }) {
  const navigate = useNavigate();
  return (
    <PageSection hasBodyWrapper={false} type="tabs">
      <Tabs
        aria-label={m.storage.title}
        activeKey={tab}
        component="nav"
        onSelect={(event, key) => {
          event.preventDefault();
          const place = TABS.find((each) => each.key === key);
          if (place) void navigate(place.to);
        }}
      >
        {TABS.map(({ key, to, text }) => (
          <Tab key={key} eventKey={key} tabContentId="tab-body" href={to} title={<TabTitleText>{text}</TabTitleText>} />
        ))}
      </Tabs>
    </PageSection>
  );
}
