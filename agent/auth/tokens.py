"""API tokens: first-class citizens that may all that their owner may, or less, for as long as wanted."""

from collections.abc import Collection

import msgspec

from agent.auth.sessions import Sessions
from agent.auth.state import AuthState
from horcrux.auth import api_token
from horcrux.auth.account import ApiToken
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from horcrux.clock import Clock
from horcrux.errors import Conflict, Forbidden, NotFound, Stale, invalid_field
from horcrux.ids import Entropy
from horcrux.store import Compare

MAX_TOKENS = 100
"""For one user."""
MAX_NAME_CHARS = 100
USED_EVERY_S = 600
"""`last_used_at` is no finer than this."""
EVERYONE = "*"


class NewApiToken(msgspec.Struct, frozen=True):
    """`bearer` is shown once and kept nowhere."""

    token: ApiToken
    bearer: str

    def __repr__(self) -> str:
        return f"NewApiToken({self.token.id!r})"


class ApiTokens:
    def __init__(self, state: AuthState, sessions: Sessions, clock: Clock, entropy: Entropy) -> None:
        self._state = state
        self._sessions = sessions
        self._clock = clock
        self._entropy = entropy

    def of(self, principal: Principal, user: str | None) -> list[ApiToken]:
        """Tokens of `user` (None: one's own; `*`: everyone's), newest last. Others' are for user administrators."""
        wanted = user if user is not None else principal.user
        if wanted != principal.user and not principal.may(Scope.USER_ADMIN):
            raise Forbidden(f"seeing the tokens of others needs the scope {Scope.USER_ADMIN.value}")
        found = [t for t in self._state.tokens.values() if wanted in (EVERYONE, t.user)]
        return sorted(found, key=lambda t: (t.created_at, t.id))

    async def create(
        self, principal: Principal, name: str, scopes: Collection[Scope] | None, expires_at: int | None
    ) -> NewApiToken:
        """A token of the caller's. It never outdoes what the caller came with: neither its scopes nor its end."""
        now = int(self._clock.now())
        self._check_name(principal, name)
        wanted = frozenset(principal.scopes if scopes is None else scopes)
        excess = wanted - principal.scopes
        if excess:
            names = ", ".join(sorted(excess))
            raise invalid_field("scopes", f"more than you may yourself: {names}")
        owner = await self._state.user_documents.get(principal.user)
        secret = api_token.new_secret(self._entropy)
        token = ApiToken(
            id=api_token.new_token_id(self._entropy),
            user=principal.user,
            user_uid=owner.value.uid,
            name=name,
            scopes=tuple(sorted(wanted)),
            secret_sha256=secret.sha256,
            created_at=now,
            expires_at=_end(principal, expires_at, now),
        )
        owner_unchanged = Compare(owner.key, "mod", owner.revision)
        revision = await self._state.token_documents.create(token.id, token, when=[owner_unchanged])
        self._state.tokens.wrote(token.id, token, revision)
        return NewApiToken(token, api_token.bearer(token.id, secret))

    async def remove(self, principal: Principal, token_id: str) -> None:
        """The token holds no more. NotFound for the token of another, unless the caller administers users."""
        while True:
            document = await self._state.token_documents.find(token_id)
            if document is None or not _is_visible(document.value, principal):
                raise NotFound(f"API token {token_id} does not exist", kind="token", id=token_id)
            try:
                await self._state.token_documents.delete(token_id, document.revision)
            except Stale:
                continue  # its last use was written down at this moment: look again
            self._state.tokens.removed(token_id, document.revision)
            return

    async def write_usage(self) -> None:
        """Uses since the last call are in the store, for tokens whose last written use is `USED_EVERY_S` ago."""
        used = self._sessions.used_at
        for token_id, used_at in list(used.items()):
            known = self._state.tokens.get(token_id)
            if known is not None and used_at - (known.last_used_at or 0) >= USED_EVERY_S:
                await self._write_use(token_id, used_at)
            if used.get(token_id) == used_at:
                del used[token_id]

    async def _write_use(self, token_id: str, used_at: int) -> None:
        document = await self._state.token_documents.find(token_id)
        if document is None:
            return
        token = msgspec.structs.replace(document.value, last_used_at=used_at)
        try:
            revision = await self._state.token_documents.replace(token_id, document, token)
        except Stale:
            return  # another node wrote its own use at the same moment, or the token was deleted
        self._state.tokens.wrote(token_id, token, revision)

    async def sweep(self) -> None:
        """Tokens whose owner is gone are gone too."""
        tokens = await self._state.token_documents.list()
        # Users after tokens: a token is made only while its owner is there, so none of a new user can look orphaned.
        owners = {document.value.uid for document in await self._state.user_documents.list()}
        for document in tokens:
            if document.value.user_uid not in owners:
                await self._state.token_documents.delete(document.value.id)

    def _check_name(self, principal: Principal, name: str) -> None:
        if not 1 <= len(name.strip()) <= MAX_NAME_CHARS:
            raise invalid_field("name", f"1 to {MAX_NAME_CHARS} characters")
        own = self.of(principal, None)
        if len(own) >= MAX_TOKENS:
            raise Conflict(f"{principal.user} has {MAX_TOKENS} API tokens already: delete one first")
        if any(t.name == name for t in own):
            raise Conflict(f"{principal.user} has an API token named {name!r} already")


def _is_visible(token: ApiToken, principal: Principal) -> bool:
    return token.user == principal.user or principal.may(Scope.USER_ADMIN)


def _end(principal: Principal, expires_at: int | None, now: int) -> int | None:
    """When the new token ends; one made by an API token ends with that token at the latest."""
    if expires_at is not None and expires_at <= now:
        raise invalid_field("expires_at", "lies in the past (epoch seconds)")
    limit = principal.expires_at if principal.is_api_token else None
    if limit is None:
        return expires_at
    if expires_at is not None and expires_at > limit:
        raise invalid_field("expires_at", f"later than the end of the token you came with ({int(limit)})")
    return int(limit) if expires_at is None else expires_at
