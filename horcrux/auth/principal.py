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

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes
