"""What keeps an event stream alive, and what ends it, without a node around it."""

import asyncio

import aiohttp

from agent.api.events import EventApi
from agent.events import EventBus
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from tests.support.api import EventStream
from tests.support.clock import FakeClock
from tests.support.http import serving
from tests.support.waiting import eventually


class Session:
    """Ends when the test says so."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def until_ended(self, principal: Principal) -> None:
        await self.ended.wait()


async def test_a_stream_in_which_nothing_happens_is_kept_alive_by_comments() -> None:
    bus, session = EventBus("boot", FakeClock()), Session()
    async with (
        serving(EventApi(bus, session, heartbeat_s=0.02).routes()) as served,
        served.client.get("/api/events", headers=served.as_("admin")) as answer,
    ):
        stream = EventStream(answer)
        await stream.until_begun()
        assert [await stream.line() for _ in range(4)] == [": still here\n", "\n"] * 2
        bus.publish("vm", "a", {"id": "a"}, Scope.VM_READ)
        event = await stream.next()
        assert event is not None
        assert (event.kind, event.id, event.event_id) == ("vm", "a", "boot.1")


async def test_the_end_of_the_session_ends_the_stream_at_once_and_nothing_is_told_after_it() -> None:
    bus, session = EventBus("boot", FakeClock()), Session()
    async with (
        serving(EventApi(bus, session).routes()) as served,
        served.client.get("/api/events", headers=served.as_("viewer")) as answer,
    ):
        stream = EventStream(answer)
        await stream.until_begun()
        session.ended.set()
        assert await stream.next() is None
        bus.publish("vm", "secret", {}, Scope.VM_READ)
        assert await answer.content.read() == b""


async def test_a_client_that_leaves_is_forgotten_and_harms_nobody_else() -> None:
    bus, session = EventBus("boot", FakeClock()), Session()
    async with serving(EventApi(bus, session, heartbeat_s=0.02).routes()) as served:
        async with aiohttp.ClientSession(served.server.url) as leaving:
            answer = await leaving.get("/api/events", headers=served.as_("admin"))
            assert await answer.content.readline()
        async with served.client.get("/api/events", headers=served.as_("admin")) as answer:
            stream = EventStream(answer)
            await stream.until_begun()
            await eventually(lambda: bus.listeners == 1)
            bus.publish("vm", "a", {}, Scope.VM_READ)
            assert await stream.next() is not None
