"""Who asks: a bearer token, or the browser console's session cookie.

A browser sends the cookie along whoever's page asks. So what acts by cookie must come from our own origin and carry a header
that no foreign page can set; SameSite=Strict on the cookie is the third lock.
"""

from collections.abc import Awaitable
from typing import Final

from aiohttp import web

from agent.http.ports import Authenticator
from agent.http.route import AnyRoute, Open
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from horcrux.clock import Clock
from horcrux.errors import Forbidden, Unauthenticated

SESSION_COOKIE: Final = "horcrux_session"
CSRF_HEADER: Final = "X-Horcrux-CSRF"
_SAFE = frozenset({"GET", "HEAD"})


class Gate:
    """Lets a request through to its route, or raises Unauthenticated or Forbidden."""

    def __init__(self, authenticator: Authenticator, clock: Clock) -> None:
        self._authenticator = authenticator
        self._clock = clock

    async def identify(self, raw: web.Request) -> Principal:
        """The principal. Raises Unauthenticated, or Forbidden for a cookie used from elsewhere."""
        header = raw.headers.get("Authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated("send the token as 'Authorization: Bearer <token>'")
        else:
            token = raw.cookies.get(SESSION_COOKIE, "") if "Cookie" in raw.headers else ""
            if not token:
                raise Unauthenticated("sign in first: this call needs a token")
            self._check_cookie_use(raw)
        if not token.isascii():  # aiohttp hands over other bytes as lone surrogates, which nothing can encode
            raise Unauthenticated("a token has ASCII characters only")
        found: Principal | Awaitable[Principal] = self._authenticator.authenticate(token, self._clock.now())
        return found if isinstance(found, Principal) else await found

    def _check_cookie_use(self, raw: web.Request) -> None:
        is_upgrade = "Upgrade" in raw.headers
        if raw.method in _SAFE and not is_upgrade:
            return
        if not self._is_own_origin(raw, raw.headers.get("Origin")):
            raise Forbidden("a session cookie works from the console's own pages only (Origin)")
        if not is_upgrade and raw.headers.get(CSRF_HEADER) != "1":
            raise Forbidden(f"a session cookie needs the header {CSRF_HEADER}: 1 to change anything")

    def check_websocket_origin(self, raw: web.Request) -> None:
        """Raises Forbidden when a browser opens the socket from a foreign page. Programs send no Origin."""
        origin = raw.headers.get("Origin")
        if origin is not None and not self._is_own_origin(raw, origin):
            raise Forbidden("a websocket is opened from the console's own pages only (Origin)")

    def _is_own_origin(self, raw: web.Request, origin: str | None) -> bool:
        if origin is None:
            return False
        scheme, _, host = origin.partition("://")
        return scheme in {"http", "https"} and host == raw.headers.get("Host")


def check_scope(route: AnyRoute, principal: Principal) -> None:
    """Raises Forbidden, naming the scope that is lacking."""
    scope = route.scope
    if isinstance(scope, Scope) and not principal.may(scope):
        raise Forbidden(f"this needs the right {scope}, which {principal.user}'s token does not have", scope=str(scope))


def is_open(route: AnyRoute) -> bool:
    return isinstance(route.scope, Open)
