"""Users and tokens as the API and the event stream show them: no hash, no secret. Times are epoch seconds."""

import msgspec

from horcrux.auth.account import ApiToken, User
from horcrux.auth.permission import Role, Scope


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    role: Role
    disabled: bool
    created_at: int
    password_changed_at: int


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    user: str
    name: str
    scopes: tuple[Scope, ...]
    """As given; what it may do is these and no more than its owner's role."""
    created_at: int
    expires_at: int | None
    last_used_at: int | None


def user_view(user: User) -> UserView:
    return UserView(
        name=user.name,
        role=user.role,
        disabled=user.disabled,
        created_at=user.created_at,
        password_changed_at=user.password_changed_at,
    )


def token_view(token: ApiToken) -> TokenView:
    return TokenView(
        id=token.id,
        user=token.user,
        name=token.name,
        scopes=token.scopes,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )
