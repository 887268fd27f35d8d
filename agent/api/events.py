"""The event stream: Server-Sent Events that can be resumed (WHATWG HTML, section 9.2)."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

import msgspec
from aiohttp import web

from agent.events import EventBus, Listener
from agent.http.route import AnyRoute, Call, Limit, Nothing, Route
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from horcrux.events import StreamEvent

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0


class SessionWatch(Protocol):
    """Tells when a session ends, so that what it has open ends with it."""

    async def until_ended(self, principal: Principal) -> None:
        """Returns once what `principal` came with has ended or may do something else."""
        ...


class EventApi:
    def __init__(self, bus: EventBus, sessions: SessionWatch, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._bus = bus
        self._sessions = sessions
        self._heartbeat_s = heartbeat_s

    async def follow(self, call: Call[Nothing, Nothing]) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        last = call.raw.headers.get("Last-Event-ID")
        with self._bus.listen(call.principal.may, last) as listener:
            await response.prepare(call.raw)
            await response.write(b"retry: 2000\n\n")
            async with asyncio.TaskGroup() as group:
                ending = group.create_task(self._close_with(call.principal, listener))
                try:
                    await self._pump(listener, response)
                except ConnectionError:
                    log.debug("a listener of the event stream went away")
                finally:
                    ending.cancel()
        return response

    async def _close_with(self, principal: Principal, listener: Listener) -> None:
        await self._sessions.until_ended(principal)
        listener.close()

    async def _pump(self, listener: Listener, response: web.StreamResponse) -> None:
        while not listener.is_closed():
            event = await listener.next(self._heartbeat_s)
            if listener.is_closed():
                return
            await response.write(b": still here\n\n" if event is None else _frame(event))

    def routes(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "GET",
                "/api/events",
                self.follow,
                scope=Scope.SELF,
                summary="Follow what changes",
                description=(
                    "Server-Sent Events: `event` is the kind (vm, task, pool, volume, image, user, token), `data` a JSON object "
                    "`{kind, id, at, data}` with the object as it is now (null: gone). `Last-Event-ID` goes on where you were; "
                    "`reset` means that events were missed: list again. Each listener is told only what its rights let it read."
                ),
                limit=Limit.NONE,
                content_type="text/event-stream",
                response=str,
            ),
        )


def _frame(event: StreamEvent) -> bytes:
    data = msgspec.json.encode({"kind": event.kind, "id": event.id, "at": event.at, "data": event.data})
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.event_id.encode(), event.kind.encode(), data)
