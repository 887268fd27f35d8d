"""Sessions and API tokens at work: who a bearer string speaks for, at the cost of a look into memory.

issue -> signed JWT -> verified once, then known by its digest -> holds while:
         not past `exp`, key not worn out, user there and enabled, same generation, not logged out
"""

import hashlib
import math
from collections import OrderedDict

import msgspec

from agent.auth.state import AuthState
from horcrux.auth import api_token, session, signing
from horcrux.auth.account import ApiToken, EndedSession, SigningKey, User
from horcrux.auth.permission import ROLE_SCOPES
from horcrux.auth.principal import Principal
from horcrux.auth.session import SIGN_IN_AGAIN, Claims
from horcrux.auth.signing import LEEWAY_S
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, Invalid, Unauthenticated
from horcrux.ids import Entropy, UserName, new_ulid

KNOWN_TOKENS = 10_000
"""Verified JWTs remembered, the least recently used forgotten first; about 5 MB when full."""


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    issuer: str = "horcrux"
    session_ttl_s: int = 12 * 3600
    key_life_s: int = 30 * 86400
    setup_ttl_s: int = 900


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A fresh session. `expires` is in epoch seconds."""

    token: str
    user: User
    expires: int
    lasts_s: int

    def __repr__(self) -> str:
        return f"SignedIn(user={self.user.name!r}, expires={self.expires})"


class Sessions:
    def __init__(self, state: AuthState, clock: Clock, entropy: Entropy, settings: AuthSettings) -> None:
        self._state = state
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._verified: OrderedDict[bytes, tuple[Claims, SigningKey]] = OrderedDict()
        """Digest of the token -> what it says, and the key that signed it. Says nothing about whether it still holds."""
        self.used_at: dict[str, int] = {}
        """API tokens used since the last time this was written down: id -> epoch seconds."""

    def principal_of(self, token: str, now: float) -> Principal:
        """Whom `token` speaks for at `now`; Unauthenticated. No round trip, nothing blocks."""
        if token.startswith(api_token.PREFIX):
            return self._of_api_token(token, now)
        return self._of_session(token, now)

    def holds(self, principal: Principal) -> bool:
        """False once what `principal` came with has ended, expired, or may do something else than then."""
        now = self._clock.now()
        try:
            if not principal.is_api_token:
                self._check_session(principal.user, principal.generation, principal.token_id)
                return principal.expires_at is None or now < principal.expires_at
            token = self._state.tokens.get(principal.token_id)
            return token is not None and self._principal_by(token, now).scopes == principal.scopes
        except Unauthenticated:
            return False

    def issue(self, user: User) -> SignedIn:
        """A session of `user` as it is now: a later change of its generation ends it."""
        now = int(self._clock.now())
        key = signing.signing_key(self._state.keys.values(), now)
        claims = Claims(
            iss=self._settings.issuer,
            sub=user.name,
            jti=new_ulid(now, self._entropy),
            iat=now,
            nbf=now,
            exp=now + self._settings.session_ttl_s,
            gen=user.generation,
        )
        return SignedIn(
            token=session.issue(claims, key), user=user, expires=claims.exp, lasts_s=self._settings.session_ttl_s
        )

    async def end(self, principal: Principal) -> None:
        """The session has ended, here at once and on other nodes as soon as they hear of it. Idempotent."""
        if principal.is_api_token or principal.expires_at is None:
            raise Invalid(
                f"this is API token {principal.token_id}, not a session: DELETE /api/auth/tokens/{principal.token_id} ends it"
            )
        ended = EndedSession(
            jti=principal.token_id,
            user=principal.user,
            ended_at=int(self._clock.now()),
            expires_at=math.ceil(principal.expires_at),
        )
        try:
            revision = await self._state.ended_documents.create(ended.jti, ended)
        except AlreadyExists:
            await self._state.ended.load()
        else:
            self._state.ended.wrote(ended.jti, ended, revision)

    async def sweep(self) -> None:
        """Sessions that would have expired by now need no word that they ended."""
        now = self._clock.now()
        for document in await self._state.ended_documents.list():
            if document.value.expires_at + LEEWAY_S < now:
                await self._state.ended_documents.delete(document.value.jti)

    def _of_session(self, token: str, now: float) -> Principal:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is None:
            known = self._remember(digest, *session.read(token, self._state.keys.get, self._settings.issuer))
        else:
            self._verified.move_to_end(digest)
        claims, key = known
        session.check_times(claims, now)
        signed_by = self._state.keys.get(key.kid)
        if signed_by is None or signed_by.secret != key.secret:
            raise Unauthenticated(SIGN_IN_AGAIN)  # the key was taken away after the token was first seen
        if not signing.may_verify(signed_by, now, self._settings.session_ttl_s):
            raise Unauthenticated(SIGN_IN_AGAIN)
        user = self._check_session(claims.sub, claims.gen, claims.jti)
        return Principal(
            user=user.name,
            role=user.role,
            scopes=ROLE_SCOPES[user.role],
            token_id=claims.jti,
            expires_at=claims.exp,
            generation=claims.gen,
        )

    def _remember(self, digest: bytes, claims: Claims, key: SigningKey) -> tuple[Claims, SigningKey]:
        self._verified[digest] = (claims, key)
        if len(self._verified) > KNOWN_TOKENS:
            self._verified.popitem(last=False)
        return claims, key

    def _check_session(self, name: UserName, generation: str, jti: str) -> User:
        user = self._state.users.get(name)
        if user is None or user.disabled or user.generation != generation or self._state.ended.get(jti) is not None:
            raise Unauthenticated(SIGN_IN_AGAIN)
        return user

    def _of_api_token(self, bearer: str, now: float) -> Principal:
        token_id, secret = api_token.split(bearer)
        token = self._state.tokens.get(token_id)
        if token is None or not api_token.matches(token, secret):
            raise Unauthenticated("this API token does not exist (any more)")
        principal = self._principal_by(token, now)
        self.used_at[token_id] = int(now)
        return principal

    def _principal_by(self, token: ApiToken, now: float) -> Principal:
        if token.expires_at is not None and now >= token.expires_at:
            raise Unauthenticated("this API token has expired: make a new one")
        user = self._state.users.get(token.user)
        if user is None or user.disabled or user.uid != token.user_uid:
            raise Unauthenticated("this API token does not exist (any more)")
        return Principal(
            user=user.name,
            role=user.role,
            scopes=token.scopes_now(user.role),
            token_id=token.id,
            is_api_token=True,
            expires_at=token.expires_at,
            generation=user.generation,
        )
