"""A route: everything that is known about one call of an API, in one row of a table.

The server, OpenAPI, the readable page, the audit, the rate limits and the test that tries every route with every role are all
made from these rows. A handler gets a `Call` and returns plain values; it knows neither dialect nor status nor aiohttp,
unless it streams.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

import msgspec
from aiohttp import web

from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from horcrux.tasks import Task

B = TypeVar("B")
Q = TypeVar("Q")


class Nothing(msgspec.Struct, frozen=True):
    """The body of a call that takes none, and the query of a call without one."""


class Dialect(StrEnum):
    HORCRUX = "horcrux"
    XVAULT = "xvault"
    DB = "db"
    HEXABASE = "hexabase"
    PX = "px"


class Open(StrEnum):
    """Instead of a scope, for the few calls that need no token."""

    OPEN = "open"


OPEN = Open.OPEN


class Limit(StrEnum):
    """Which window a call counts in (contract notes, section 11)."""

    DEFAULT = "default"
    BACKUP = "backup"
    LOGIN = "login"
    NONE = "none"
    """Counts nowhere: health, the console's own files, the event stream after its first request."""


class Call(Generic[B, Q]):
    """One request, decoded and allowed. `principal` is absent on open routes (asking for it there is a fault of ours)."""

    def __init__(
        self,
        *,
        raw: web.Request,
        principal: Principal | None,
        path: Mapping[str, str],
        body: B,
        query: Q,
        request_id: str,
        if_match: int | None,
    ) -> None:
        self.raw = raw
        """Only for streams and websockets."""
        self._principal = principal
        self.path = path
        """`{id}` and the like, percent-decoded."""
        self.body = body
        self.query = query
        self.request_id = request_id
        self.if_match = if_match
        """Revision that the client read, from If-Match."""

    @property
    def principal(self) -> Principal:
        if self._principal is None:
            raise RuntimeError("an open route has no principal")
        return self._principal


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A body with what belongs beside it; return it instead of the bare body where that is needed.

    `body` may be `msgspec.Raw` for JSON that is encoded already.
    """

    body: object = None
    status: int | None = None
    """None: the route's own."""
    revision: int | None = None
    """Sent as ETag."""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


Answer = object
"""A Struct, a list of them, None, `Reply`, `Task` (of a route with `task=True`), or a prepared `web.StreamResponse`."""
Handler = Callable[[Call[B, Q]], Awaitable[Answer]]


@dataclass(frozen=True, eq=False)
class Route(Generic[B, Q]):
    """A row. `path` is aiohttp's (`/api/vms/{id}`); `scope` has no default on purpose.

    With `task=True` the handler returns a `Task` that it submitted: the server waits for its end and answers `status` with the
    task's `result` (or its error), or 202 with `Location: /api/tasks/{id}` when the client sent `Prefer: respond-async`.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler[B, Q]
    _: KW_ONLY
    scope: Scope | Open
    summary: str
    body: type[B] = Nothing  # type: ignore[assignment]  # the default of a type variable
    query: type[Q] = Nothing  # type: ignore[assignment]  # the default of a type variable
    response: object = None
    """A type msgspec can describe, None for an answer without a body."""
    status: int = 200
    audit: str | None = None
    """Action for the audit, `vm.start`; None only for reads."""
    dialect: Dialect = Dialect.HORCRUX
    task: bool = False
    limit: Limit = Limit.DEFAULT
    stream_body: bool = False
    """The handler reads the body itself from `call.raw.content`; `max_body_bytes` does not count."""
    websocket: bool = False
    content_type: str = "application/json"
    max_body_bytes: int = 1_000_000
    description: str = ""
    shows_secret: bool = False
    """The answer holds something shown once (a token): no idempotency key keeps it."""


AnyRoute = Route[Any, Any]
__all__ = [
    "OPEN",
    "Answer",
    "AnyRoute",
    "Call",
    "Dialect",
    "Handler",
    "Limit",
    "Nothing",
    "Open",
    "Reply",
    "Route",
    "Task",
]
