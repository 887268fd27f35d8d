"""Templates and clones in the browser."""

from playwright.async_api import Page, expect

from tests.support.agent_process import AgentProcess
from tests.support.api import Api
from tests.support.browser import OpenPage
from tests.support.machines import call, machine

DISK = {"storage_pool": "local", "size_gb": 0.01}


async def _act(page: Page, name: str, verb: str) -> None:
    await page.get_by_role("button", name=f"Actions for {name}", exact=True).click()
    await page.get_by_role("menuitem", name=verb, exact=True).click()


async def _clone(page: Page, kind: str, vm_id: str) -> None:
    """From the template's page to the clone's, which is whole then."""
    await page.get_by_role("button", name="Clone", exact=True).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label(kind, exact=True).check()
    await dialog.get_by_role("textbox", name="Id", exact=True).fill(vm_id)
    await dialog.get_by_label("Start it at once").uncheck()
    await dialog.get_by_role("button", name="Create clone").click()
    await expect(page.get_by_role("heading", name=vm_id, level=1)).to_be_visible()
    await expect(page.get_by_text("stopped", exact=True)).to_be_visible()


async def test_a_template_is_made_cloned_and_kept_as_long_as_a_linked_clone_is_there(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with machine(agent, id="origin", disks=[DISK]), agent.session() as api:
        page = await open_page("/vms/origin")
        try:
            await _act(page, "origin", "Make template")
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Name").fill("The model")
            await dialog.get_by_role("textbox", name="Id", exact=True).fill("model")
            await dialog.get_by_role("button", name="Make template").click()
            await expect(page.get_by_text("Make template model: done")).to_be_visible()

            await page.get_by_role("link", name="Templates").click()
            await page.get_by_role("link", name="The model").click()
            await expect(page.get_by_text("No machine stands on it.")).to_be_visible()
            await page.get_by_role("button", name="Clone", exact=True).click()
            await expect(page.get_by_role("dialog").get_by_role("textbox", name="Id", exact=True)).to_have_value(
                "model-1"
            )
            await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
            await _clone(page, "Linked", "leaning")
            await expect(page.get_by_text("linked clone")).to_be_visible()
            await page.get_by_role("link", name="The model").click()
            await _clone(page, "Full", "apart")
            await expect(page.get_by_role("row", name="disk0")).to_be_visible()
            await expect(page.get_by_text("linked clone")).to_have_count(0)

            await page.goto("/templates/model")
            await page.get_by_role("button", name="Delete", exact=True).click()
            await expect(dialog.get_by_role("link", name="leaning")).to_be_visible()
            await expect(dialog.get_by_role("link", name="apart")).to_have_count(0)
            await expect(dialog.get_by_role("button", name="Delete")).to_be_disabled()
            async with api.delete("/api/templates/model") as refused:
                assert refused.status == 409
                assert "leaning" in (await refused.json())["error"]

            await page.goto("/storage/local")
            base = page.get_by_role("row").filter(has=page.get_by_role("link", name="model", exact=True))
            await expect(base).to_contain_text("1 linked clone")
            below = page.get_by_role("row").filter(has=page.get_by_role("link", name="leaning", exact=True))
            await expect(below.locator(".horcrux-below")).to_be_visible()

            await call(api, "DELETE", "/api/vms/leaning")
            await page.goto("/templates/model")
            await page.get_by_role("button", name="Delete", exact=True).click()
            await dialog.get_by_role("button", name="Delete").click()
            await expect(page.get_by_text("Delete template model: done")).to_be_visible()
            await expect(page.get_by_text("No templates")).to_be_visible()
        finally:
            for path in ("/api/vms/leaning", "/api/vms/apart", "/api/templates/model"):
                async with api.delete(path) as answer:
                    assert answer.status in {204, 404}, await answer.text()


async def test_a_stopped_machine_is_copied_and_a_running_one_says_why_not(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with machine(agent, id="twin", disks=[DISK]), agent.session() as api:
        page = await open_page("/vms/twin")
        try:
            await _act(page, "twin", "Clone")
            await expect(page.get_by_role("dialog").get_by_role("textbox", name="Id", exact=True)).to_have_value(
                "twin-1"
            )
            await page.get_by_role("dialog").get_by_role("button", name="Create clone").click()
            await expect(page.get_by_role("heading", name="twin-1", level=1)).to_be_visible()
            await expect(page.get_by_role("row", name="disk0")).to_be_visible()
            await Api(api).until_status("twin-1", "stopped", 20)
        finally:
            async with api.delete("/api/vms/twin-1", params={"wait_s": "60"}) as answer:
                assert answer.status in {204, 404}, await answer.text()
        await call(api, "POST", "/api/vms/twin/start")
        await page.goto("/vms/twin")
        await page.get_by_role("button", name="Actions for twin", exact=True).click()
        for verb in ("Clone", "Make template"):
            await expect(page.get_by_role("menuitem", name=verb)).to_have_attribute("aria-disabled", "true")
