"""Bodies of the sign-in calls. Times are epoch seconds. Secrets are in requests, and in the one answer that makes them."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.auth.views import TokenView
from horcrux.auth.permission import Role, Scope
from horcrux.paging import Page

Typed = Annotated[str, Meta(max_length=1024)]
"""What somebody types; longer is never right, and hashing it would cost."""


class Hidden:
    """Keeps what a body holds out of its repr, and so out of logs and tracebacks."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Login(Hidden, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    username: Typed
    password: Typed
    cookie: bool = False
    """Also set the session as a cookie, as the browser console asks."""


class Setup(Hidden, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    secret: Typed
    """What stands behind `#setup=` in the link."""
    username: Typed
    password: Typed
    cookie: bool = False


class PasswordChange(Hidden, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    current: Typed
    new: Typed
    cookie: bool = False


class Session(Hidden, msgspec.Struct, frozen=True, kw_only=True):
    token: str
    username: str
    expires: int
    role: Role


class SetupNeeded(msgspec.Struct, frozen=True, kw_only=True):
    needed: bool


class Me(msgspec.Struct, frozen=True, kw_only=True):
    username: str
    role: Role
    scopes: tuple[Scope, ...]
    token_id: str
    is_api_token: bool
    expires: int | None


class NewUser(Hidden, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Typed
    password: Typed
    role: Role = Role.VIEWER


class UserChange(Hidden, msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is."""

    role: Role | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    password: Typed | UnsetType = UNSET


class NewToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Typed
    scopes: tuple[Scope, ...] | None = None
    """None: all that the caller may."""
    expires_at: int | None = None
    """None: until it is deleted."""


class CreatedToken(TokenView, frozen=True, kw_only=True):
    token: str
    """The bearer string, `hxp_...`: shown here and never again."""

    def __repr__(self) -> str:
        return f"CreatedToken(id={self.id!r})"


class TokenQuery(Page, frozen=True, kw_only=True):
    user: str | None = None
    """Whose tokens: left out, one's own; `*`, everyone's. Others' need the scope user.admin."""
