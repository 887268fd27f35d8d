"""What the Store keeps about sign-in. Kinds: `user`, `token`, `signing-key`, `session`.

    user ----- name --------> token         an API token is its owner's as long as `user_uid` is the owner's `uid`
      '------- generation --> session JWT   a session holds as long as its `gen` is the user's `generation`

Sessions themselves are not stored: they are signed. A `session` document says that one ended before its time.
Times are epoch seconds. What would help a thief is left out of every repr.
"""

import msgspec

from horcrux.auth.permission import ROLE_SCOPES, Role, Scope
from horcrux.ids import UserName


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A person or program that may sign in."""

    name: UserName
    uid: str
    """Made once; a later user of the same name has another, and inherits nothing."""
    role: Role
    password_hash: str
    created_at: int
    password_changed_at: int
    disabled: bool = False
    generation: str
    """Chance; a new one ends every session of the user."""

    def __repr__(self) -> str:
        return f"User(name={self.name!r}, role={self.role.value!r}, disabled={self.disabled})"

    @property
    def is_acting_admin(self) -> bool:
        return self.role is Role.ADMIN and not self.disabled


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token for scripts; only the SHA-256 of its secret is kept."""

    id: str
    user: UserName
    user_uid: str
    name: str
    scopes: tuple[Scope, ...]
    secret_sha256: str
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    """Coarse: written at most every ten minutes."""

    def __repr__(self) -> str:
        return f"ApiToken(id={self.id!r}, user={self.user!r}, name={self.name!r})"

    def scopes_now(self, role: Role) -> frozenset[Scope]:
        """What the token may do while its owner has `role`: a demotion of the owner bites here."""
        return ROLE_SCOPES[role] & frozenset(self.scopes)


class SigningKey(msgspec.Struct, frozen=True, kw_only=True):
    """An HS256 key. It signs from `signs_from` until `retired_at`, and verifies until its last token has ended."""

    kid: str
    secret: bytes
    created_at: int
    signs_from: int
    """Later than `created_at` for all but the first: every node knows a key before it meets a token of it."""
    retired_at: int | None = None

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"


class EndedSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was logged out; kept until it would have ended by itself."""

    jti: str
    user: UserName
    ended_at: int
    expires_at: int
