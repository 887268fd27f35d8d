import { Button, Card, CardBody, CardHeader, CardTitle, EmptyState, EmptyStateBody, Label, PageSection, Truncate } from '@patternfly/react-core';
import { NetworkIcon, PlusCircleIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import { useOwnPeer, usePeers } from '../api/queries';
import type { OwnPeer, Peer } from '../api/types';
import { useSession } from '../auth/session';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import Confirm from '../ui/Confirm';
import { CopyButton } from '../ui/CopyButton';
import { CopyText } from '../ui/CopyText';
import { Facts } from '../ui/Facts';
import { Room } from '../ui/Room';
import { RowMenu } from '../ui/RowMenu';
import { ago } from '../ui/format';
import { useNow } from '../ui/now';
import { NewPeer } from './NewPeer';

export default function PeersRoom() {
  const { may } = useSession();
  const own = useOwnPeer();
  const peers = usePeers();
  const [isAdding, setIsAdding] = useState(false);
  const [doomed, setDoomed] = useState<Peer | null>(null);
  const isAllowed = may('peer.write');
  return (
    <Room
      title={m.peer.title}
      intro={m.peer.intro}
      actions={
        <Button
          icon={<PlusCircleIcon />}
          isAriaDisabled={!isAllowed}
          title={isAllowed ? undefined : m.vm.noRight}
          onClick={() => setIsAdding(true)}
        >
          {m.peer.add}
        </Button>
      }
    >
      <PageSection hasBodyWrapper={false}>
        <div className="horcrux-stack">
          <Answer query={peers}>{(rows) => <PeerTable peers={rows} remove={setDoomed} mayWrite={isAllowed} />}</Answer>
          <Card>
            <CardHeader>
              <CardTitle component="h2">{m.peer.self}</CardTitle>
            </CardHeader>
            <CardBody>
              <Answer query={own}>{(value) => <Own own={value} />}</Answer>
            </CardBody>
          </Card>
        </div>
      </PageSection>
      {isAdding && <NewPeer close={() => setIsAdding(false)} />}
      {doomed && <DeletePeer peer={doomed} close={() => setDoomed(null)} />}
    </Room>
  );
}

function Own({ own }: { own: OwnPeer }) {
  return (
    <div className="horcrux-stack">
      <p className="horcrux-quiet">{m.peer.selfHow}</p>
      <Facts
        facts={[
          [m.peer.name, <CopyText key="name" text={own.name} />],
          [m.peer.url, <CopyText key="url" text={own.address} />],
          [m.peer.fingerprint, <span key="print" className="horcrux-mono horcrux-wrap">{own.fingerprint}</span>],
        ]}
      />
      {!own.is_listening && <p className="horcrux-quiet">{m.peer.notListening}</p>}
      <div>
        <CopyButton text={own.certificate}>{m.peer.copyCertificate}</CopyButton>
      </div>
    </div>
  );
}

interface PeerTableProps {
  peers: Peer[];
  remove: (peer: Peer) => void;
  mayWrite: boolean;
}

function PeerTable({ peers, remove, mayWrite }: PeerTableProps) {
  const now = useNow();
  if (peers.length === 0) {
    return (
      <EmptyState titleText={m.peer.none} headingLevel="h2" variant="sm" icon={NetworkIcon}>
        <EmptyStateBody>{m.peer.noneHow}</EmptyStateBody>
      </EmptyState>
    );
  }
  return (
    <Table variant="compact" aria-label={m.peer.title}>
      <Thead>
        <Tr>
          <Th>{m.peer.name}</Th>
          <Th>{m.peer.url}</Th>
          <Th>{m.peer.state}</Th>
          <Th modifier="nowrap">{m.peer.lastSeen}</Th>
          <Th>{m.peer.fingerprint}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {peers.map((peer) => (
          <Tr key={peer.name}>
            <Td dataLabel={m.peer.name}>{peer.name}</Td>
            <Td dataLabel={m.peer.url} className="horcrux-mono">
              {peer.url}
            </Td>
            <Td dataLabel={m.peer.state}>
              <Reach isReachable={peer.is_reachable} />
              {peer.reason && <div className="horcrux-quiet">{peer.reason}</div>}
            </Td>
            <Td dataLabel={m.peer.lastSeen} modifier="nowrap">{peer.last_seen_at === null ? m.replication.never : ago(peer.last_seen_at, now)}</Td>
            <Td dataLabel={m.peer.fingerprint} className="horcrux-mono horcrux-checksum">
              <Truncate content={peer.fingerprint} position="middle" trailingNumChars={8} />
            </Td>
            <Td isActionCell>
              <RowMenu
                isDisabled={!mayWrite}
                label={m.peer.actionsOf(peer.name)}
                actions={[{ title: m.peer.remove, isDanger: true, run: () => remove(peer) }]}
              />
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function Reach({ isReachable }: { isReachable: boolean | null }) {
  if (isReachable === null) return <span className="horcrux-quiet">{m.peer.unknown}</span>;
  return (
    <Label isCompact color={isReachable ? 'green' : 'red'}>
      {isReachable ? m.peer.reachable : m.peer.unreachable}
    </Label>
  );
}

function DeletePeer({ peer, close }: { peer: Peer; close: () => void }) {
  const client = useQueryClient();
  const run = async () => {
    await send('DELETE', `/api/peers/${encodeURIComponent(peer.name)}`);
    await client.invalidateQueries({ queryKey: keys.peers });
  };
  return (
    <Confirm title={m.peer.removeTitle(peer.name)} action={m.peer.remove} isDanger run={run} close={close}>
      <p>{m.peer.removeBody}</p>
    </Confirm>
  );
}
