"""Pools and quotas in the browser."""

import json
import re

from playwright.async_api import Page, Route, expect

from tests.support.agent_process import AgentProcess
from tests.support.browser import OpenPage
from tests.support.machines import call, user

PROBLEM = "Disk ata-1 of mirror-0 is offline: bring it back, or replace it."


async def _ail(page: Page) -> None:
    """From now on the list of pools is told with one of them degraded: only a real ZFS comes to that by itself."""

    async def tell(route: Route) -> None:
        answer = await route.fetch()
        pools = await answer.json()
        pools[0] |= {"health": "degraded", "problems": [PROBLEM]}
        await route.fulfill(response=answer, body=json.dumps(pools))

    await page.route(re.compile(r"/api/storage$"), tell)


async def test_a_degraded_pool_is_told_on_the_overview_in_the_list_and_on_its_page(open_page: OpenPage) -> None:
    page = await open_page("/account")
    await _ail(page)
    await page.goto("/")
    alert = page.get_by_role("main").locator(".pf-v6-c-alert").filter(has_text="is degraded")
    await expect(alert).to_contain_text(PROBLEM)
    await alert.get_by_role("link", name="Show the pool").click()
    await expect(page).to_have_url(re.compile(r"/storage/local$"))
    await expect(alert).to_contain_text(PROBLEM)
    await page.goto("/storage")
    await expect(alert).to_contain_text(PROBLEM)
    await expect(page.locator("[data-health=degraded]")).to_be_visible()


async def test_each_type_of_pool_asks_for_what_it_needs_and_a_refusal_stands_beside_the_field(
    open_page: OpenPage,
) -> None:
    page = await open_page("/storage")
    await page.get_by_role("button", name="Create pool").click()
    dialog = page.get_by_role("dialog")
    for kind, fields in {
        "dir": ("Folder",),
        "nfs": ("Share", "NFS version"),
        "lvm": ("Volume group", "Thin pool"),
        "iscsi": ("Target (IQN)", "Portal"),
        "rbd": ("Ceph pool", "Monitors"),
    }.items():
        await dialog.get_by_label("Type").select_option(kind)
        for field in fields:
            await expect(dialog.get_by_label(re.compile(rf"^{re.escape(field)}"))).to_be_visible()
    await dialog.get_by_label("Type").select_option("iscsi")
    await dialog.get_by_role("textbox", name="Id", exact=True).fill("disks")
    await dialog.get_by_label("Target (IQN)").fill("no iqn")
    await expect(dialog.get_by_role("button", name="Create pool")).to_be_disabled()
    await dialog.get_by_label("Portal").fill("192.0.2.1")
    await dialog.get_by_role("button", name="Create pool").click()
    await expect(dialog.locator("#pool-target-help")).to_contain_text("iSCSI name")


async def test_a_quota_is_set_told_in_the_refusal_and_deleted(open_page: OpenPage, agent: AgentProcess) -> None:
    async with user(agent, "quoted", "operator") as name, agent.session() as api:
        page = await open_page("/quotas")
        await expect(page.get_by_text("No quotas")).to_be_visible()
        await page.get_by_role("button", name="Set quota").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("button", name="Set quota")).to_be_disabled()
        await dialog.get_by_label("User").select_option(name)
        await dialog.get_by_label("Limit in GiB").fill("2")
        await dialog.get_by_role("button", name="Set quota").click()
        row = page.get_by_role("row", name=name)
        await expect(row).to_contain_text("0 B of 2 GiB")

        theirs = await open_page("/storage/local", user=name)
        await theirs.get_by_role("button", name="Create volume").click()
        await theirs.get_by_label("Name").fill("too-large")
        await theirs.get_by_label("Size in GiB").fill("3")
        await theirs.get_by_role("dialog").get_by_role("button", name="Create volume").click()
        await expect(theirs.get_by_text(re.compile(r"3(\.0)? GiB")).first).to_be_visible()
        await expect(theirs.get_by_text(re.compile(r"2(\.0)? GiB")).first).to_be_visible()

        await page.get_by_role("button", name=f"Actions for the quota of {name}").click()
        await page.get_by_role("menuitem", name="Change limit").click()
        await dialog.get_by_label("Limit in GiB").fill("4")
        await dialog.get_by_role("button", name="Save").click()
        await expect(row).to_contain_text("0 B of 4 GiB")
        await page.get_by_role("button", name=f"Actions for the quota of {name}").click()
        await page.get_by_role("menuitem", name="Delete").click()
        await dialog.get_by_role("button", name="Delete").click()
        await expect(page.get_by_text("No quotas")).to_be_visible()
        async with api.get("/api/quotas") as answer:
            assert await answer.json() == []


async def test_the_peers_room_shows_what_the_other_node_needs(open_page: OpenPage, agent: AgentProcess) -> None:
    async with agent.session() as api:
        own = await call(api, "GET", "/api/peers/self")
    page = await open_page("/peers")
    await expect(page.get_by_text(str(own["fingerprint"]))).to_be_visible()
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy certificate").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == own["certificate"]
    await page.get_by_role("button", name="Add peer").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("far")
    await dialog.get_by_label("Address").fill("https://192.0.2.1:8007")
    await dialog.get_by_label("Certificate").fill("no certificate")
    await dialog.get_by_role("button", name="Add peer").click()
    await expect(dialog.locator("#peer-certificate-help")).to_contain_text("certificate")
