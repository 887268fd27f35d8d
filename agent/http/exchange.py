"""One request on its way through the steps, with what each step found out for the later ones and for the headers."""

import asyncio

import msgspec
from aiohttp import web

from agent.http.ports import Quota
from agent.http.route import AnyRoute, Call
from horcrux.auth.principal import Principal

AnyCall = Call[msgspec.Struct, msgspec.Struct]


class Exchange:
    """Mutable, and owned by the one coroutine that handles the request."""

    __slots__ = (
        "__weakref__",
        "address",
        "call",
        "is_leaving",
        "principal",
        "quota",
        "raw",
        "request_id",
        "route",
        "stream",
        "target",
        "task",
    )

    def __init__(self, raw: web.Request, route: AnyRoute | None, request_id: str, address: str) -> None:
        self.raw = raw
        self.route = route
        self.request_id = request_id
        self.address = address
        self.principal: Principal | None = None
        self.quota: Quota | None = None
        self.call: AnyCall | None = None
        self.target: str | None = None
        """Of the task, once there is one."""
        self.stream: web.StreamResponse | None = None
        """Set when the handler itself has begun to answer: an event stream, a file, a websocket."""
        self.task: asyncio.Task[object] | None = None
        """The one that runs the handler of `stream`."""
        self.is_leaving = False
        """The server stops, and has cancelled `task` to end the stream."""

    def is_deserted(self) -> bool:
        """The client has closed the connection."""
        transport = self.raw.transport
        return transport is None or transport.is_closing()

    def begin_stream(self, response: web.StreamResponse) -> None:
        """From now on the handler answers by itself; called on the handler's own task."""
        self.stream = response
        self.task = asyncio.current_task()

    def leave(self) -> None:
        """Ends the stream: its handler is cancelled, and what it has sent so far is closed properly."""
        if self.task is not None and not self.task.done():
            self.is_leaving = True
            self.task.cancel()

    def end_stream_or_raise(self) -> web.StreamResponse:
        """For whoever has caught CancelledError: the stream to be ended when `leave` was why; raises it again otherwise."""
        if not self.is_leaving or self.stream is None or self.task is None:
            raise asyncio.CancelledError
        self.task.uncancel()
        return self.stream


EXCHANGE: web.RequestKey[Exchange] = web.RequestKey("exchange", Exchange)
