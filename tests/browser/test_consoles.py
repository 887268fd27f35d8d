"""Screens and serial lines of real guests, through the browser."""

import asyncio
import hashlib
import re

import aiohttp
from playwright.async_api import Page, expect

from tests.support.agent_process import AgentProcess
from tests.support.browser import OpenPage, Picture, type_keys
from tests.support.demo_image import SENTENCE
from tests.support.machines import Guest, call, machine, user

LIVE = ".horcrux-canvas[data-phase=live]"
VMS, VIEWERS = 4, 10


async def _screen(page: Page) -> Picture:
    """The picture of a console that is open, once there is one."""
    await expect(page.locator(LIVE)).to_be_visible()
    picture = Picture(page.locator(f"{LIVE} canvas").first)
    await picture.until_lit()
    return picture


async def test_what_is_typed_on_the_screen_reaches_the_guest_and_what_it_says_is_seen(
    open_page: OpenPage, hello: Guest
) -> None:
    page = await open_page("/vms/hello/console")
    picture = await _screen(page)
    before = (await picture.lit())[1]
    await page.locator(f"{LIVE} canvas").first.click()
    await type_keys(page, "\necho typed-$((40+2)) > /dev/ttyS0\n")
    await hello.until_said("typed-42")
    await picture.until_other_than(before)

    await page.get_by_role("button", name="Send text").click()
    await page.get_by_role("dialog").get_by_label("Text").fill("echo sent-$((6*7)) >/dev/ttyS0\n")
    await page.get_by_role("button", name="Type it").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await hello.until_said("sent-42")

    await page.get_by_text("View only").click()
    await page.locator(f"{LIVE} canvas").first.click()
    await type_keys(page, "echo never-$((40+2)) > /dev/ttyS0\n")
    await expect(page.get_by_role("button", name="Send keys")).to_be_disabled()
    await expect(page.get_by_role("button", name="Send text")).to_be_disabled()
    await page.get_by_text("View only").click()
    await page.locator(f"{LIVE} canvas").first.click()
    await type_keys(page, "echo after-$((40+2)) > /dev/ttyS0\n")
    await hello.until_said("after-42")
    assert "never-42" not in await hello.log()


async def test_the_serial_line_is_typed_into_and_a_paste_of_200_lines_arrives_whole(
    open_page: OpenPage, hello: Guest
) -> None:
    page = await open_page("/vms/hello/serial")
    await expect(page.locator(LIVE)).to_be_visible()
    await page.locator(f"{LIVE} textarea").focus()
    await page.keyboard.type("echo line-$((40+2))\r")
    await hello.until_said("line-42")
    await expect(page.locator(f"{LIVE} .xterm-accessibility")).to_contain_text("line-42")

    lines = "".join(f"{number:03d} all of this has to arrive as it is\n" for number in range(200))
    await page.keyboard.type("stty -echo; cat >/pasted; md5sum /pasted; stty echo\r")
    await page.get_by_role("button", name="Paste").click()
    await page.get_by_role("dialog").get_by_label("Text").fill(lines + "\x04")
    await page.get_by_role("dialog").get_by_role("button", name="Send").click()
    await hello.until_said(hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest(), timeout_s=60)

    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Download log").click()
    download = await waiting.value
    assert download.suggested_filename == "hello-serial.log"
    assert SENTENCE in await asyncio.to_thread((await download.path()).read_text)


async def test_the_three_keys_of_the_menu_reboot_the_guest(open_page: OpenPage, hello: Guest) -> None:
    page = await open_page("/vms/hello/console")
    await _screen(page)
    boots = await hello.boots()
    await page.get_by_role("button", name="Send keys").click()
    await page.get_by_role("menuitem", name="Ctrl+Alt+Del", exact=True).click()
    await hello.until_said("goodbye from horcrux")
    await hello.until_prompt(boots + 1)
    await expect(page.locator(LIVE)).to_be_visible()


async def test_a_console_says_when_its_machine_stops_and_comes_back_with_it(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with machine(agent, id="again", start=True), agent.session() as api:
        page, serial = await open_page("/vms/again/console"), await open_page("/vms/again/serial")
        await _screen(page)
        await expect(serial.locator(LIVE)).to_be_visible()
        await call(api, "POST", "/api/vms/again/stop")
        for each in (page, serial):
            await expect(each.get_by_text("The machine is not running.")).to_be_visible()
        await page.locator(".horcrux-veil").get_by_role("button", name="Start").click()
        await _screen(page)
        await expect(serial.locator(LIVE)).to_be_visible()


_SHOW_TICKET = """([path, ticket]) => new Promise((done) => {
  const socket = new WebSocket(`ws://${location.host}${path}?ticket=${ticket}`, ['binary']);
  socket.onopen = () => { socket.close(); done('opened'); };
  socket.onerror = () => done('refused');
})"""


async def test_a_ticket_opens_one_console_of_one_machine_for_one_session(
    open_page: OpenPage, agent: AgentProcess
) -> None:
    async with (
        machine(agent, id="one", start=True),
        machine(agent, id="two", start=True),
        user(agent, "olga", "operator") as olga,
    ):
        page, hers = await open_page("/vms"), await open_page("/vms", user=olga)

        async def ticket() -> str:
            headers = {"X-Horcrux-CSRF": "1", "Origin": agent.url}
            answer = await page.request.post("/api/console/one/vnc", headers=headers)
            return str((await answer.json())["ticket"])

        async def show(to: Page, vm_id: str, secret: str) -> object:
            return await to.evaluate(_SHOW_TICKET, [f"/api/console/{vm_id}/ws", secret])

        good = await ticket()
        assert await show(page, "one", good) == "opened"
        assert await show(page, "one", good) == "refused", "used already"
        assert await show(page, "two", await ticket()) == "refused", "another machine's"
        assert await show(hers, "one", await ticket()) == "refused", "another user's"


async def _name_on_screen(api: aiohttp.ClientSession, vm_id: str, ready: asyncio.Barrier) -> str:
    """What QEMU calls the machine whose screen this console shows (RFC 6143 section 7.3.2)."""
    ticket = (await call(api, "POST", f"/api/console/{vm_id}/vnc"))["ticket"]
    address = f"/api/console/{vm_id}/ws?ticket={ticket}"
    async with api.ws_connect(address, protocols=["binary"]) as socket, asyncio.timeout(60):
        await ready.wait()
        said = b""

        async def take(count: int) -> bytes:
            nonlocal said
            while len(said) < count:
                said += await socket.receive_bytes()
            taken, said = said[:count], said[count:]
            return taken

        assert await take(12) == b"RFB 003.008\n"
        await socket.send_bytes(b"RFB 003.008\n")
        assert await take(2) == b"\x01\x01"
        await socket.send_bytes(b"\x01")
        assert await take(4) == bytes(4)
        await socket.send_bytes(b"\x01")
        head = await take(24)
        name = (await take(int.from_bytes(head[20:24], "big"))).decode()
        await ready.wait()
        return name


async def test_forty_consoles_at_once_each_show_their_own_of_four_machines(agent: AgentProcess) -> None:
    async with (
        machine(agent, id="w0", start=True),
        machine(agent, id="w1", start=True),
        machine(agent, id="w2", start=True),
        machine(agent, id="w3", start=True),
        agent.session() as api,
    ):
        ready = asyncio.Barrier(VMS * VIEWERS)
        wanted = [f"w{number % VMS}" for number in range(VMS * VIEWERS)]
        names = await asyncio.gather(*(_name_on_screen(api, vm_id, ready) for vm_id in wanted))
        seen = [re.search(r"-(w\d)\b", name) for name in names]
        assert [found and found[1] for found in seen] == wanted, names
