"""Machines made, changed and followed in the browser."""

import asyncio

import pytest
from playwright.async_api import FilePayload, Page, expect

from tests.support.agent_process import PASSWORD, AgentProcess
from tests.support.browser import OpenPage
from tests.support.machines import call, destroy_outside, machine, user

HOSTILE = "<img src=x onerror=alert(1)>"
EVENT_MS = 2_000
"""How late an event may be on a page."""


async def _act(page: Page, name: str, verb: str) -> None:
    await page.get_by_role("button", name=f"Actions for {name}").click()
    await page.get_by_role("menuitem", name=verb, exact=True).click()


async def test_the_list_follows_what_happens_in_every_open_browser(open_page: OpenPage, agent: AgentProcess) -> None:
    pages = [await open_page("/vms"), await open_page("/vms")]
    rows = [page.get_by_role("row", name="follow-me") for page in pages]
    for page in pages:
        await expect(page.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
    async with machine(agent, id="follow-me"), agent.session() as api:
        for row in rows:
            await expect(row.get_by_text("stopped", exact=True)).to_be_visible(timeout=EVENT_MS)
        await _act(pages[0], "follow-me", "Start")
        for row in rows:
            await expect(row.get_by_text("running", exact=True)).to_be_visible()
        await expect(rows[0].get_by_label("Another task works on it.")).to_have_count(0)
        for verb, state in (("pause", "paused"), ("resume", "running"), ("reset", "running"), ("stop", "stopped")):
            await call(api, "POST", f"/api/vms/follow-me/{verb}")
            for row in rows:
                await expect(row.get_by_text(state, exact=True)).to_be_visible(timeout=EVENT_MS)
        await call(api, "POST", "/api/vms/follow-me/start")
        for row in rows:
            await expect(row.get_by_text("running", exact=True)).to_be_visible(timeout=EVENT_MS)

        await asyncio.to_thread(destroy_outside, agent, "follow-me")
        for row in rows:
            await expect(row.get_by_text("stopped", exact=True)).to_be_visible(timeout=EVENT_MS)
    for row in rows:
        await expect(row).to_have_count(0, timeout=EVENT_MS)


async def test_a_wrong_field_is_told_beside_it_and_a_right_form_makes_the_machine(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    page = await open_page("/vms/new")
    await page.get_by_label("Name", exact=True).fill("made here")
    await page.get_by_label("Begin from").select_option("No disk")
    await page.get_by_label("Start it at once").uncheck()
    await page.locator("#vm-cpu").fill("100000")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.locator("#vm-cpu-help")).to_contain_text("1 to 255")

    await page.locator("#vm-cpu").fill("1")
    await expect(page.get_by_text("--name 'made here'")).to_be_visible()
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.get_by_role("heading", name="made here", level=1)).to_be_visible()
    vm_id = page.url.rsplit("/", 1)[1]

    await _act(page, "made here", "Delete")
    await page.get_by_label(f"Type {vm_id} to confirm").fill(vm_id)
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
    await expect(page.get_by_text(f"Delete VM {vm_id}: done")).to_be_visible()
    async with agent.session() as api, api.get(f"/api/vms/{vm_id}") as answer:
        assert answer.status == 404


async def test_an_image_is_uploaded_and_a_machine_begins_from_it_with_its_user_data(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    disk: FilePayload = {"name": "tiny.raw", "mimeType": "application/octet-stream", "buffer": b"\0" * (1 << 20)}
    page, other = await open_page("/storage/local/images"), await open_page("/vms")
    await expect(other.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
    await page.get_by_role("button", name="Upload image").click()
    await page.locator("#upload-image input[type=file]").set_input_files(disk)
    await page.get_by_role("dialog").get_by_role("button", name="Upload image").click()
    await expect(page.get_by_text("tiny.raw is uploaded")).to_be_visible()
    await expect(page.get_by_role("row", name="tiny.raw")).to_be_visible()

    await page.goto("/vms/new")
    await page.get_by_label("Name", exact=True).fill("from image")
    await page.get_by_label("Begin from").select_option("tiny.raw")
    await page.get_by_label("Start it at once").uncheck()
    await page.get_by_role("button", name="First boot (cloud-init)").click()
    await page.get_by_label("User to make").fill("0 wrong")
    await page.get_by_label("Raw user-data").fill("#cloud-config\nruncmd: [touch /seed-was-read]\n")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.locator("#vm-user-help")).to_be_visible()
    await page.get_by_label("User to make").fill("")
    await page.get_by_role("button", name="Create", exact=True).click()
    await expect(page.get_by_role("heading", name="from image", level=1)).to_be_visible()
    await expect(other.get_by_role("row", name="from image").get_by_text("stopped")).to_be_visible()
    vm_id = page.url.rsplit("/", 1)[1]
    try:
        await expect(page.get_by_text("user-data")).to_be_visible()
        seeds = await asyncio.to_thread(lambda: list(agent.state_dir.rglob(f"{vm_id}.iso")))
        assert len(seeds) == 1
        assert b"touch /seed-was-read" in await asyncio.to_thread(seeds[0].read_bytes)
    finally:
        async with agent.session() as api:
            await call(api, "DELETE", f"/api/vms/{vm_id}")
            await call(api, "DELETE", "/api/storage/local/images/tiny.raw")


async def test_a_name_that_is_markup_is_shown_as_it_is_and_does_nothing(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with machine(agent, id="hostile", name=HOSTILE, notes=HOSTILE, start=True):
        page = await open_page("/vms")
        await expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
        await page.get_by_role("button", name=f"Actions for {HOSTILE}").click()
        await page.get_by_role("menuitem", name="Power off").click()
        await expect(page.get_by_role("dialog").get_by_text(f"Power off {HOSTILE}?")).to_be_visible()
        assert await page.locator("img[src=x]").count() == 0
        tabs = ("", "/console", "/serial", "/tasks", "?task=all")
        for path in ("/", "/tasks", *(f"/vms/hostile{tab}" for tab in tabs)):
            await page.goto(path)
            await expect(page.get_by_role("heading", level=1).first).to_be_visible()
            await expect(page.get_by_role("progressbar", name="Loading")).to_have_count(0)
            assert await page.locator("img[src=x]").count() == 0, path
        await page.goto("/vms/hostile")
        await expect(page.get_by_role("heading", name=HOSTILE, level=1)).to_be_visible()
        await page.get_by_role("button", name="Edit", exact=True).click()
        await expect(page.get_by_role("dialog").get_by_label("Name")).to_have_value(HOSTILE)
        await page.get_by_role("dialog").get_by_label("CPUs").fill("0")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("#edit-cpu-help")).to_be_visible()
        assert await page.locator("img[src=x]").count() == 0


async def test_the_second_of_two_editors_is_told_and_nothing_is_lost(open_page: OpenPage, agent: AgentProcess) -> None:
    async with machine(agent, id="edited") as vm_id:
        page, other = await open_page(f"/vms/{vm_id}"), await open_page(f"/vms/{vm_id}")
        for editor in (page, other):
            await editor.get_by_role("button", name="Edit", exact=True).click()
        await page.get_by_role("dialog").get_by_label("Name").fill("mine")
        await other.get_by_role("dialog").get_by_label("Notes").fill("theirs")
        await other.get_by_role("button", name="Save").click()
        await expect(other.get_by_role("dialog")).to_have_count(0)

        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_text("Changed meanwhile")).to_be_visible()
        await page.get_by_role("button", name="Reload").click()
        await expect(page.get_by_role("dialog").get_by_label("Notes")).to_have_value("theirs")
        await page.get_by_role("dialog").get_by_label("Name").fill("mine")
        await page.get_by_role("button", name="Save").click()
        for editor in (page, other):
            await expect(editor.get_by_role("heading", name="mine", level=1)).to_be_visible()
        async with agent.session() as api:
            assert (await call(api, "GET", f"/api/vms/{vm_id}"))["notes"] == "theirs"


VERBS = ("Open console", "Start", "Shut down", "Reboot", "Pause", "Resume", "Reset", "Power off", "Delete")


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_what_a_role_may_not_is_shown_as_such_and_refused_by_the_server(
    open_page: OpenPage, agent: AgentProcess, role: str
) -> None:
    is_viewer = role == "viewer"
    async with machine(agent, id="theirs", start=True), user(agent, f"a-{role}", role) as name:
        page = await open_page("/vms", user=name)
        await page.get_by_role("button", name="Actions for theirs").click()
        for verb in VERBS:
            item = page.get_by_role("menuitem", name=verb)
            await expect(item).to_have_count(1)
            if is_viewer:
                await expect(item).to_have_attribute("aria-disabled", "true")
                await expect(item).to_contain_text("Your role does not include this.")
            else:
                await expect(item).not_to_contain_text("Your role does not include this.")
        await expect(page.get_by_role("link", name="Users")).to_have_count(0)
        await page.goto("/vms/theirs/console")
        if is_viewer:
            await expect(page.get_by_text("Your role does not include consoles.")).to_be_visible()
            for path, button in (("/vms/theirs", "Edit"), ("/storage/local/images", "Upload image")):
                await page.goto(path)
                await expect(page.get_by_role("button", name=button, exact=True)).to_be_disabled()
        else:
            await expect(page.locator(".horcrux-canvas[data-phase=live]")).to_be_visible()
        headers = {"X-Horcrux-CSRF": "1", "Origin": agent.url}
        for path, body in _REFUSED:
            answer = await page.request.post(path, data=body, headers=headers)
            is_refused = is_viewer or path.startswith(("/api/auth", "/api/storage"))
            assert (answer.status == 403) == is_refused, f"{path}: {answer.status} {await answer.text()}"


_REFUSED = (
    ("/api/console/theirs/vnc", None),
    ("/api/console/theirs/serial", None),
    ("/api/vms/theirs/sendkeys", {"text": "a"}),
    ("/api/vms/theirs/pause", None),
    ("/api/vms/theirs/stop", None),
    ("/api/storage", {"id": "p", "name": "p", "type": "dir", "path": "/tmp/p"}),
    ("/api/auth/users", {"name": "more", "password": PASSWORD, "role": "viewer"}),
)


async def test_names_sort_filters_and_pages_are_in_the_address(open_page: OpenPage, agent: AgentProcess) -> None:
    async with machine(agent, id="aa", tags=["blue"]), machine(agent, id="bb", name="b b"):
        page = await open_page("/vms?q=b&sort=-name")
        await expect(page.get_by_role("row", name="b b")).to_be_visible()
        await page.get_by_label("Filter by name, id or tag").fill("blue")
        await expect(page.get_by_role("row", name="aa")).to_be_visible()
        await expect(page.get_by_role("row", name="b b")).to_have_count(0)
        await page.reload()
        await expect(page.get_by_role("row", name="aa")).to_be_visible()
        await expect(page.get_by_role("row", name="b b")).to_have_count(0)
