"""One real agent, one demo guest and one headless Chromium for all browser tests. A page that errs, breaks the content
security policy or asks another origin fails its test."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.agent_process import PASSWORD, AgentProcess, agent_process
from tests.support.browser import CHROMIUM, FLAGS, OpenPage, Witness
from tests.support.demo_image import demo_image
from tests.support.machines import Guest, call, machine
from web.assets import dist_folder

IMAGE = "hello.qcow2"
WAIT_MS = 20_000
"""How long a busy host may take to show what a test waits for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share one loop, that of the agent's process and the browser."""
    here = Path(__file__).parent
    shared = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if here in item.path.parents:
            item.add_marker(shared, append=False)
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.libvirt)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def agent() -> AsyncIterator[AgentProcess]:
    if dist_folder() is None:
        pytest.fail("the console is not built: npm ci && npm run build in web/")
    async with agent_process() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: apt install chromium")
    async with async_playwright() as playwright:
        expect.set_options(timeout=WAIT_MS)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(agent: AgentProcess, chromium: Browser) -> AsyncIterator[OpenPage]:
    """Opens a page in a browser of its own: `open_page(path, user="admin", width=1280, scheme="light", url=agent.url)`;
    with `user=None` nobody is signed in."""
    contexts: list[BrowserContext] = []
    witnesses: list[Witness] = []

    async def open_(
        path: str = "/", *, user: str | None = "admin", width: int = 1280, scheme: str = "light", url: str = agent.url
    ) -> Page:
        context = await chromium.new_context(
            base_url=url,
            viewport={"width": width, "height": 860},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        if user is not None:
            body = {"username": user, "password": PASSWORD, "cookie": True}
            answer = await context.request.post("/api/auth/login", data=body)
            assert answer.ok, await answer.text()
        page = await context.new_page()
        witnesses.append(Witness(url))
        witnesses[-1].watch(page)
        await page.goto(path)
        return page

    yield open_
    for context in contexts:
        await context.close()
    assert [fault for witness in witnesses for fault in witness.faults] == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def image(agent: AgentProcess) -> str:
    """Name of the demo's image, which is in pool `local`."""
    content = await asyncio.to_thread(lambda: demo_image().read_bytes())
    async with agent.session() as api:
        await call(api, "PUT", f"/api/storage/local/images/{IMAGE}", data=content)
    return IMAGE


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def hello(agent: AgentProcess, image: str) -> AsyncIterator[Guest]:
    """VM `hello`, up, with its prompts there."""
    disk = {"storage_pool": "local", "image": image}
    async with machine(agent, id="hello", memory_mb=256, disks=[disk], start=True) as vm_id:
        guest = Guest(agent, vm_id)
        await guest.until_prompt(1)
        yield guest
