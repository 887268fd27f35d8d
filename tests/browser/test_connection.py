"""What a page does when the agent is away, when the network is cut, and when nothing happens at all."""

import asyncio

from playwright.async_api import BrowserContext, Request, expect
from playwright.async_api import TimeoutError as TooLong

from tests.support.agent_process import AgentProcess
from tests.support.browser import OpenPage, way_to
from tests.support.machines import call, machine

STALE = "Not up to date since"
IDLE_MS = 20_000
LOADED_MS = 6_000
"""A page fetches the other rooms ahead 4 s after the first one."""


async def test_a_page_says_since_when_it_is_not_up_to_date_and_catches_up_when_the_agent_is_back(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    page = await open_page("/vms")
    await expect(page.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
    await agent.kill()
    try:
        await expect(page.get_by_text(STALE)).to_be_visible()
        await expect(page.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
    finally:
        await agent.start()
    await expect(page.get_by_text(STALE)).to_have_count(0)
    async with machine(agent, id="afterwards"):
        await expect(page.get_by_role("row", name="afterwards")).to_be_visible()


async def test_what_happened_while_the_network_was_cut_is_told_afterwards_without_reading_the_list_again(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with way_to(agent.port) as way, machine(agent, id="before", name="before"), agent.session() as api:
        page = await open_page("/vms", url=way.url)
        await expect(page.get_by_role("row", name="before")).to_be_visible()
        await call(api, "PATCH", "/api/vms/before", json={"tags": ["told"]})
        await expect(page.get_by_role("row", name="before").get_by_text("told")).to_be_visible()
        await way.cut()
        await expect(page.get_by_text(STALE)).to_be_visible()
        asked: list[Request] = []

        def note(request: Request) -> None:
            asked.append(request)

        page.on("request", note)
        async with machine(agent, id="meanwhile", name="meanwhile"):
            await call(api, "PATCH", "/api/vms/before", json={"name": "renamed"})
            await way.open()
            await expect(page.get_by_text(STALE)).to_have_count(0)
            await expect(page.get_by_role("row", name="meanwhile").get_by_text("stopped")).to_be_visible()
            await expect(page.get_by_role("row", name="renamed")).to_be_visible()
        await expect(page.get_by_role("row", name="meanwhile")).to_have_count(0)
        headers = [await request.all_headers() for request in asked]
        assert all("last-event-id" in one for one in headers), "resumed, not begun anew"
        assert {request.url for request in asked} == {f"{way.url}/api/events"}


async def test_an_idle_tab_asks_for_nothing_but_the_stream(open_page: OpenPage, agent: AgentProcess) -> None:
    async with machine(agent, id="idle"):
        page = await open_page("/vms")
        for path in ("/", "/vms/idle", "/tasks?task=all", "/storage/local"):
            more = await page.context.new_page()
            await more.goto(path)
        for tab in page.context.pages:
            await expect(tab.get_by_role("heading", level=1).first).to_be_visible()
            await expect(tab.get_by_role("progressbar", name="Loading")).to_have_count(0)
        async with asyncio.timeout(30):
            while await _asked(page.context, LOADED_MS):
                pass
        assert await _asked(page.context, IDLE_MS) is None


async def _asked(context: BrowserContext, within_ms: float) -> str | None:
    """What a page of it asks for next; None when nothing so long."""
    try:
        return (await context.wait_for_event("request", timeout=within_ms)).url
    except TooLong:
        return None
