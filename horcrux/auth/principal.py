"""Who is asking: a user, by a session or by an API token, and what that may do."""

import msgspec

from horcrux.auth.permission import Role, Scope
from horcrux.ids import UserName


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """`token_id` names the session or API token, for audit, rate limits and ending it; it is not secret."""

    user: UserName
    role: Role
    scopes: frozenset[Scope]
    token_id: str
    is_api_token: bool = False
    expires_at: float | None = None
    """Epoch seconds at which the session or token ends by itself; None for an API token without an end."""
    generation: str = ""
    """The user's generation when this was made; another one there means that all its sessions have ended."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that something lost its right: whoever serves it (a console, an event stream) closes it.

    Either one session or API token (`token_id`), or all sessions of `user`, and with `api_tokens` its API tokens too:
    those still hold after a change of password, but not unchanged after a change of role.
    """

    user: UserName
    token_id: str | None = None
    api_tokens: bool = False

    def concerns(self, principal: Principal) -> bool:
        """True when what `principal` came with has ended or may do less than before."""
        if self.token_id is not None:
            return principal.token_id == self.token_id
        return principal.user == self.user and (self.api_tokens or not principal.is_api_token)
