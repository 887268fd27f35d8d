import asyncio

from agent.api.events import EventApi
from agent.events import EventBus
from agent.http.settings import HttpSettings
from horcrux.auth.principal import Principal
from tests.support.clock import FakeClock
from tests.support.http import serving


class Endless:
    """Sessions that do not end."""

    async def until_ended(self, _principal: Principal) -> None:
        await asyncio.Event().wait()


async def test_coming_back_to_the_event_stream_does_not_count_against_the_rate_limit() -> None:
    routes = EventApi(EventBus("boot", FakeClock()), Endless()).routes()
    async with serving(routes, settings=HttpSettings(requests_per_hour=1)) as s:
        for _ in range(3):
            async with s.client.get("/api/events", headers=s.as_("viewer")) as answer:
                assert answer.status == 200
                assert "RateLimit-Limit" not in answer.headers
