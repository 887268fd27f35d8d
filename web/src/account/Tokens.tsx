import { Button, EmptyState, Label, Toolbar, ToolbarContent, ToolbarItem } from '@patternfly/react-core';
import { PlusCircleIcon } from '@patternfly/react-icons';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';

import { keys } from '../api/cache';
import { send } from '../api/client';
import { useTokens } from '../api/queries';
import type { ApiToken } from '../api/types';
import { m } from '../messages';
import { Answer } from '../ui/Answer';
import Confirm from '../ui/Confirm';
import { ago, moment } from '../ui/format';
import { useNow } from '../ui/now';
import { NewToken } from './NewToken';

export function Tokens() {
  const tokens = useTokens();
  const [isCreating, setIsCreating] = useState(false);
  const [doomed, setDoomed] = useState<ApiToken | null>(null);
  return (
    <>
      <Toolbar>
        <ToolbarContent>
          <ToolbarItem alignSelf="center" className="horcrux-quiet">
            {m.account.tokensIntro}
          </ToolbarItem>
          <ToolbarItem align={{ default: 'alignEnd' }}>
            <Button icon={<PlusCircleIcon />} onClick={() => setIsCreating(true)}>
              {m.account.newToken}
            </Button>
          </ToolbarItem>
        </ToolbarContent>
      </Toolbar>
      <Answer query={tokens}>
        {(rows) =>
          rows.length === 0 ? (
            <EmptyState titleText={m.account.noTokens} headingLevel="h2" variant="sm" />
          ) : (
            <TokenTable tokens={rows} revoke={setDoomed} />
          )
        }
      </Answer>
      {isCreating && <NewToken close={() => setIsCreating(false)} />}
      {doomed && <Revoke token={doomed} close={() => setDoomed(null)} />}
    </>
  );
}

function TokenTable({ tokens, revoke }: { tokens: ApiToken[]; revoke: (token: ApiToken) => void }) {
  const now = useNow();
  return (
    <Table variant="compact" aria-label={m.account.tokens}>
      <Thead>
        <Tr>
          <Th>{m.account.tokenName}</Th>
          <Th>{m.account.tokenScopes}</Th>
          <Th>{m.account.tokenMade}</Th>
          <Th>{m.account.tokenEnds}</Th>
          <Th>{m.account.tokenUsed}</Th>
          <Th screenReaderText={m.vm.actions} />
        </Tr>
      </Thead>
      <Tbody>
        {tokens.map((token) => (
          <Tr key={token.id}>
            <Td dataLabel={m.account.tokenName}>{token.name}</Td>
            <Td dataLabel={m.account.tokenScopes}>
              <span className="horcrux-line">
                {token.scopes.map((scope) => (
                  <Label key={scope} isCompact variant="outline" title={m.scopes[scope]}>
                    {scope}
                  </Label>
                ))}
              </span>
            </Td>
            <Td dataLabel={m.account.tokenMade}>{ago(token.created_at, now)}</Td>
            <Td dataLabel={m.account.tokenEnds}>{token.expires_at ? moment(token.expires_at) : m.account.never}</Td>
            <Td dataLabel={m.account.tokenUsed}>{token.last_used_at ? ago(token.last_used_at, now) : m.account.never}</Td>
            <Td modifier="fitContent">
              <Button variant="link" isDanger isInline onClick={() => revoke(token)}>
                {m.account.revoke}
              </Button>
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  );
}

function Revoke({ token, close }: { token: ApiToken; close: () => void }) {
  const client = useQueryClient();
  const run = async () => {
    await send('DELETE', `/api/auth/tokens/${encodeURIComponent(token.id)}`);
    await client.invalidateQueries({ queryKey: keys.tokens });
  };
  return (
    <Confirm title={m.account.revokeTitle(token.name)} action={m.account.revoke} isDanger run={run} close={close}>
      <p>{m.account.revokeBody}</p>
    </Confirm>
  );
}
