"""The task drawer: how far, stop it, why it failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from playwright.async_api import Page, expect

from tests.support.agent_process import AgentProcess
from tests.support.browser import OpenPage
from tests.support.machines import call

PIECE = bytes(1 << 20)
WRONG = "0" * 64


@asynccontextmanager
async def slow_source() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """An address that gives half of an image, and the other half once the event is set."""
    go_on = asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(2 * len(PIECE))})
        await response.prepare(request)
        await response.write(PIECE)
        await go_on.wait()
        await response.write(PIECE)
        return response

    app = web.Application()
    app.router.add_get("/image.raw", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/image.raw", go_on
    finally:
        go_on.set()
        await runner.cleanup()


async def _fetch(page: Page, url: str, name: str) -> None:
    await page.goto("/storage/local/images")
    await page.get_by_role("button", name="Fetch from URL").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("URL").fill(url)
    await dialog.get_by_label("Name of the image").fill(name)
    await dialog.get_by_label("SHA-256").fill(WRONG)
    await dialog.get_by_role("button", name="Fetch from URL").click()
    await expect(dialog).to_have_count(0)
    await page.get_by_role("button", name="under way").click()
    await page.get_by_role("link", name=f"Fetch image {name}").first.click()


async def test_a_task_shows_how_far_it_is_and_is_stopped_from_the_drawer(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    page = await open_page("/")
    async with slow_source() as (url, _go_on):
        await _fetch(page, url, "stopped.raw")
        drawer = page.locator(".pf-v6-c-notification-drawer")
        await expect(drawer.get_by_role("progressbar", name="fetching")).not_to_have_attribute("aria-valuenow", "0")
        await expect(drawer.get_by_text("admin").first).to_be_visible()
        await drawer.get_by_role("button", name="Cancel task").click()
        await expect(drawer.get_by_text("cancelled", exact=True)).to_be_visible()
        await expect(drawer.get_by_role("button", name="Cancel task")).to_have_count(0)
    async with agent.session() as api, api.get("/api/storage/local/images") as answer:
        assert "stopped.raw" not in {image["name"] for image in await answer.json()}


async def test_a_task_that_fails_shows_its_cause_and_its_log(open_page: OpenPage, agent: AgentProcess) -> None:
    page = await open_page("/")
    async with slow_source() as (url, go_on):
        await _fetch(page, url, "wrong.raw")
        go_on.set()
        drawer = page.locator(".pf-v6-c-notification-drawer")
        await expect(drawer.get_by_text("failed", exact=True)).to_be_visible()
        await expect(drawer.get_by_text("the image came with another content").first).to_be_visible()
        await expect(drawer.get_by_role("log", name="Log")).not_to_be_empty()
        await page.reload()
        await expect(drawer.get_by_text("the image came with another content").first).to_be_visible()
        await expect(page.get_by_role("row", name="wrong.raw")).to_have_count(0)
    async with agent.session() as api:
        task = await call(api, "GET", f"/api/tasks/{page.url.partition('task=')[2]}")
        assert task["state"] == "failed"
