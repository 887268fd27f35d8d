"""Every room: it can be linked to, everybody can use it, and it fits on a phone."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.agent_process import AgentProcess
from tests.support.browser import OpenPage
from tests.support.machines import Guest, machine

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
ROOMS = {
    "/": "Overview",
    "/vms": "Virtual machines",
    "/vms/new": "Create virtual machine",
    "/vms/room": "room",
    "/vms/room/console": "room",
    "/vms/room/serial": "room",
    "/vms/room/snapshots": "room",
    "/vms/room/replication": "room",
    "/vms/room/tasks": "room",
    "/templates": "Templates",
    "/templates/nothing": "No such template",
    "/storage": "Storage",
    "/storage/local": "Local",
    "/storage/local/images": "Local",
    "/quotas": "Storage",
    "/peers": "Peers",
    "/tasks": "Tasks",
    "/account": "Account",
    "/account/password": "Account",
    "/users": "Users",
    "/nowhere": "Nothing here",
    "/vms/nobody": "No such virtual machine",
}


async def _settled(page: Page, title: str) -> None:
    await expect(page.get_by_role("heading", name=title, level=1, exact=True)).to_be_visible()
    await expect(page.get_by_role("progressbar", name="Loading")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_room_breaks_a_rule_of_accessibility(open_page: OpenPage, agent: AgentProcess, scheme: str) -> None:
    axe = await asyncio.to_thread(AXE.read_text)
    broken: list[str] = []
    async with machine(agent, id="room", tags=["web"]):
        page = await open_page("/", scheme=scheme)
        for path, title in ROOMS.items():
            await page.goto(path)
            await _settled(page, title)
            await page.evaluate(axe)
            broken += [f"{path}: {rule}" for rule in await page.evaluate(_RUN_AXE)]
    assert broken == []


_RUN_AXE = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
  const { violations } = await axe.run(document, { runOnly: tags });
  return violations.map((v) => v.id + ' at ' + v.nodes.map((n) => n.target.join(' ') + ' ' + n.html.slice(0, 120)).join(' | '));
}"""


async def test_every_room_fits_on_a_phone(open_page: OpenPage, agent: AgentProcess) -> None:
    cut: list[str] = []
    async with machine(agent, id="room", tags=["web"], name="room"):
        page = await open_page("/", width=390)
        for path, title in ROOMS.items():
            await page.goto(path)
            await _settled(page, title)
            cut += [f"{path}: {element}" for element in await page.evaluate(_CUT)]
    assert cut == []


# Boxes are compared: a clipped page reports no scroll width. What scrolls by itself may be wider than the phone, and the
# button that scrolls it waits outside while there is nothing to scroll to.
_CUT = """() => [...document.querySelectorAll('main *')]
  .filter((e) => e.checkVisibility() && !e.closest('svg, .pf-v6-screen-reader, .xterm, .horcrux-log'))
  .filter((e) => !e.closest('.pf-v6-c-tabs__list, .pf-v6-c-tabs__scroll-button'))
  .filter((e) => { const b = e.getBoundingClientRect(); return b.width > 0 && (b.right > innerWidth + 1 || b.left < -1); })
  .map((e) => e.tagName + '.' + e.className)
  .slice(0, 5)"""


async def test_the_way_back_leads_through_the_tabs_that_were_visited(open_page: OpenPage, agent: AgentProcess) -> None:
    async with machine(agent, id="room"):
        page = await open_page("/vms/room")
        await page.get_by_role("tab", name="Serial console").click()
        await expect(page).to_have_url(f"{agent.url}/vms/room/serial")
        await page.go_back()
        await expect(page).to_have_url(f"{agent.url}/vms/room")
        await expect(page.get_by_role("heading", name="Disks")).to_be_visible()
        await page.go_forward()
        await expect(page).to_have_url(f"{agent.url}/vms/room/serial")
        await expect(page.get_by_text("The machine is not running.")).to_be_visible()


# A column's head that is shortened by dots names nothing.
_CUT_HEADS = """() => [...document.querySelectorAll('main th .pf-v6-c-table__text, main th')]
  .filter((e) => e.checkVisibility() && !e.closest('.pf-v6-screen-reader') && e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.textContent)"""


PICTURES = {"light": ("light", 1280), "dark": ("dark", 1280), "phone": ("light", 390)}
ARTIFACTS = Path(__file__).parents[1] / ".artifacts"


async def test_the_main_rooms_are_pictured(open_page: OpenPage, hello: Guest) -> None:
    rooms = {
        "overview": "/",
        "machines": "/vms",
        "new": "/vms/new",
        "machine": "/vms/hello",
        "screen": "/vms/hello/console",
    }
    rooms |= {
        "serial": "/vms/hello/serial",
        "storage": "/storage/local/images",
        "pools": "/storage",
        "snapshots": "/vms/hello/snapshots",
        "templates": "/templates",
        "tasks": "/tasks?task=all",
        "users": "/users",
    }
    await asyncio.to_thread(ARTIFACTS.mkdir, exist_ok=True)
    for look, (scheme, width) in PICTURES.items():
        page = await open_page("/", scheme=scheme, width=width)
        for name, path in rooms.items():
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1).first).to_be_visible()
            await expect(page.get_by_role("progressbar", name="Loading")).to_have_count(0)
            if name in {"screen", "serial"}:
                await expect(page.locator(".horcrux-canvas[data-phase=live]")).to_be_visible()
            assert await page.evaluate(_CUT_HEADS) == [], f"{path} at {width}"
            picture = await page.screenshot(animations="disabled")
            await asyncio.to_thread((ARTIFACTS / f"{name}-{look}.png").write_bytes, picture)
            assert len(picture) > 5_000


async def test_the_first_load_is_at_most_300_kilobytes(open_page: OpenPage) -> None:
    page = await open_page("/vms")
    await expect(page.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
    loaded: list[int] = await page.evaluate(_SIZES)
    assert 50_000 < sum(loaded) <= 300_000


_SIZES = """() => performance.getEntries()
  .filter((entry) => entry.encodedBodySize && !entry.name.includes('/api/'))
  .map((entry) => entry.encodedBodySize)"""
