"""Who is let in, who is not any more, and where signing in leads."""

import re

import aiohttp
from playwright.async_api import Page, expect

from tests.support.agent_process import PASSWORD, AgentProcess, agent_process
from tests.support.browser import OpenPage
from tests.support.machines import call, machine, user


async def _sign_in(page: Page, username: str, password: str) -> None:
    await page.get_by_label("User name").fill(username)
    await page.locator("#password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def test_a_wrong_password_is_told_and_the_right_one_leads_to_the_page_that_was_asked_for(
    open_page: OpenPage,
) -> None:
    page = await open_page("/storage/local/images", user=None)
    await _sign_in(page, "admin", "not the password")
    await expect(page.get_by_text("You are not signed in")).to_be_visible()

    await page.locator("#password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Local", level=1)).to_be_visible()
    await expect(page.get_by_role("button", name="Upload image")).to_be_visible()


async def test_signing_out_ends_the_session_in_every_tab_and_closes_an_open_console(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with machine(agent, id="watched", start=True):
        page = await open_page("/vms/watched")
        (cookie,) = await page.context.cookies()
        was = f"{cookie['name']}={cookie['value']}"
        other = await page.context.new_page()
        await other.goto("/vms")
        await expect(other.get_by_role("heading", name="Virtual machines", level=1)).to_be_visible()
        async with page.expect_websocket() as opening:
            await page.get_by_role("tab", name="Screen").click()
        await expect(page.locator(".horcrux-canvas[data-phase=live]")).to_be_visible()
        console = await opening.value
        async with console.expect_event("close"):
            await other.get_by_role("button", name="Menu of admin").click()
            await other.get_by_role("menuitem", name="Sign out").click()
        await expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        async with aiohttp.ClientSession(agent.url, headers={"Cookie": was}) as old, old.get("/api/vms") as answer:
            assert answer.status == 401, "the old cookie is void, not only forgotten"


async def test_when_the_session_ends_the_page_asks_to_sign_in_and_leads_back_to_where_one_was(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with user(agent, "kim", "operator"), agent.session() as api:
        page = await open_page("/storage/local/images?task=all", user="kim")
        await expect(page.get_by_role("button", name="Upload image")).to_be_visible()
        await call(api, "PATCH", "/api/auth/users/kim", json={"password": PASSWORD + " again"})

        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await _sign_in(page, "kim", PASSWORD + " again")
        await expect(page.get_by_role("button", name="Upload image")).to_be_visible()
        await expect(page.get_by_role("heading", name="Tasks")).to_be_visible()
        assert page.url.endswith("/storage/local/images?task=all")


async def test_the_set_up_link_makes_the_administrator_once(open_page: OpenPage) -> None:
    async with agent_process(admin_password="") as fresh:
        link = re.search(r"http://\S+#setup=\S+", await fresh.read_log())
        assert link is not None, await fresh.read_log()
        page = await open_page(link[0], user=None, url=fresh.url)
        await page.get_by_label("User name").fill("boss")
        await page.locator("#password").fill("short")
        await page.locator("#again").fill("short")
        await page.get_by_role("button", name="Make administrator").click()
        await expect(page.locator("#password-help")).to_contain_text("8")
        await page.locator("#password").fill(PASSWORD)
        await page.locator("#again").fill(PASSWORD)
        await page.get_by_role("button", name="Make administrator").click()
        await expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        assert "setup" not in page.url, "the secret is not left in the address"
        await expect(page.get_by_role("button", name="Menu of boss")).to_be_visible()

        again = await open_page(link[0], user=None, url=fresh.url)
        await expect(again.get_by_text("This node is set up already")).to_be_visible()
        secret = link[0].partition("#setup=")[2]
        order = {"secret": secret, "username": "thief", "password": PASSWORD}
        assert (await again.request.post("/api/auth/setup", data=order)).status in {401, 409}
        await again.get_by_role("button", name="To the sign-in page").click()
        await _sign_in(again, "boss", PASSWORD)
        await expect(again.get_by_role("heading", name="Overview", level=1)).to_be_visible()
