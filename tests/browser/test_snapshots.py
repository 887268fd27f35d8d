"""Snapshots of machines in the browser: made, gone back to, deleted; and disks that grow and move."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.support.agent_process import AgentProcess
from tests.support.browser import OpenPage
from tests.support.machines import call, machine

DISK = {"storage_pool": "local", "size_gb": 0.01}


async def _pick(page: Page, menu: str, action: str) -> None:
    await page.get_by_role("button", name=menu).click()
    await page.get_by_role("menuitem", name=action, exact=True).click()


async def _take(page: Page, name: str, description: str = "") -> None:
    await page.get_by_role("button", name="Create snapshot", exact=True).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill(name)
    await dialog.get_by_label("Description").fill(description)
    await dialog.get_by_role("button", name="Create snapshot").click()
    await expect(_menu_of(page, name)).to_be_enabled()


def _menu_of(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=f"Actions for snapshot {name}", exact=True)


async def _revert(page: Page, name: str, after: str) -> None:
    await _pick(page, f"Actions for snapshot {name}", "Revert to it")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text(f"since {after}")).to_be_visible()
    await dialog.get_by_role("button", name="Revert to it").click()
    await expect(dialog).to_have_count(0)


_TREE = """() => {
  const branch = (list) => [...list.children].map((step) => {
    const name = (step.querySelector(':scope > .horcrux-step strong') ?? step).textContent;
    const sides = [...step.querySelectorAll(':scope > ul')].map(branch);
    return sides.length > 0 ? [name, ...sides] : name;
  });
  return [...document.querySelectorAll('#tab-body > ul')].map(branch);
}"""
HERE = "You are hereThe machine as it is now"


async def _until_tree(page: Page, tree: list[object]) -> None:
    """The page draws this tree; a branch is a list, a step with branches beside it a list that begins with its name."""
    await page.wait_for_function(
        f"(wanted) => JSON.stringify(({_TREE})()) === JSON.stringify(wanted)", arg=tree, timeout=60_000
    )


async def test_a_chain_of_snapshots_branches_where_one_goes_back_and_deletes_in_any_order(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with machine(agent, id="kept", disks=[DISK]):
        page = await open_page("/vms/kept")
        await page.get_by_role("tab", name="Snapshots").click()
        await expect(page.get_by_text("No snapshots")).to_be_visible()
        await _take(page, "first", "before all else")
        await expect(page.get_by_text("before all else")).to_be_visible()
        await _take(page, "second")
        await _until_tree(page, [["first", "second", HERE]])

        await _revert(page, "first", after="second")
        await _until_tree(page, [[["first", ["second"]], HERE]])
        await _take(page, "third")
        await _until_tree(page, [[["first", ["second"]], "third", HERE]])

        await _pick(page, "Actions for snapshot first", "Delete")
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await _until_tree(page, [["second"], ["third", HERE]])


async def test_a_name_that_is_taken_is_told_in_the_form(open_page: OpenPage, agent: AgentProcess) -> None:
    async with machine(agent, id="twice", disks=[DISK]), agent.session() as api:
        await call(api, "POST", "/api/vms/twice/snapshots", json={"name": "same"})
        page = await open_page("/vms/twice/snapshots")
        await page.get_by_role("button", name="Create snapshot", exact=True).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("With the guest’s memory")).to_be_disabled()
        await dialog.get_by_label("Name").fill("same")
        await dialog.get_by_role("button", name="Create snapshot").click()
        await expect(dialog.get_by_text(re.compile("same.* already"))).to_be_visible()


async def test_a_disk_only_grows(open_page: OpenPage, agent: AgentProcess) -> None:
    async with machine(agent, id="grown", disks=[DISK]), agent.session() as api:
        page = await open_page("/vms/grown")
        await _pick(page, "Actions for disk disk0", "Grow")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("New size in GiB").fill("0.001")
        await expect(dialog.get_by_role("button", name="Grow")).to_be_disabled()
        await dialog.get_by_label("New size in GiB").fill("1.5")
        await dialog.get_by_role("button", name="Grow").click()
        await expect(page.get_by_role("row", name="disk0").get_by_text("1.5 GiB")).to_be_visible()
        await expect(page.get_by_text("Grow disk grown: done")).to_be_visible()
        disks = (await call(api, "GET", "/api/vms/grown"))["disks"]
        assert isinstance(disks, list)
        assert disks[0]["size_gb"] == 1.5


@pytest_asyncio.fixture(loop_scope="session")
async def other_pool(agent: AgentProcess) -> AsyncIterator[str]:
    """Id of a second pool; afterwards it is gone."""
    async with agent.session() as api:
        folder = Path(agent.state_dir).parent / "other-pool"
        await call(api, "POST", "/api/storage", json={"id": "other", "name": "Other", "target": str(folder)})
        yield "other"
        await call(api, "DELETE", "/api/storage/other")


async def test_a_disk_moves_to_another_pool(open_page: OpenPage, agent: AgentProcess, other_pool: str) -> None:
    async with machine(agent, id="moved", disks=[DISK]):
        page = await open_page("/vms/moved")
        await _pick(page, "Actions for disk disk0", "Move to another pool")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Pool")).to_contain_text("Other: ")
        await dialog.get_by_label("Format").select_option("raw")
        await dialog.get_by_role("button", name="Move", exact=True).click()
        await expect(page.get_by_role("row", name="disk0").get_by_role("link", name=other_pool)).to_be_visible()
        await expect(page.get_by_role("row", name="disk0")).to_contain_text("raw")
