"""Chromium's flags, a witness of what a good page never does, fingers on a guest's keyboard, and a way that can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import ConsoleMessage, Dialog, Error, Locator, Page, Request

from tests.support.waiting import until

OpenPage = Callable[..., Awaitable[Page]]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Witness:
    """Notes what a good page never does: errors, dialogs, requests to another origin, breaches of the content policy."""

    def __init__(self, *origins: str) -> None:
        self._origins = (*origins, *(origin.replace("http", "ws", 1) for origin in origins))
        self.faults: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("pageerror", self._error)
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("websocket", lambda socket: self._address(socket.url))
        page.on("dialog", self._dialog)

    def _error(self, error: Error) -> None:
        self.faults.append(f"error in the page: {error}")

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium notes each answer of 400 and up, and each connection that failed; whether those are right is for the
        # test to say. noVNC and the browser say that a websocket closed.
        known = ("Failed to load resource", "WebSocket connection to", "Failed when connecting")
        if message.type == "error" and not any(words in message.text for words in known):
            self.faults.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        if not url.startswith((*self._origins, "blob:", "data:")):
            self.faults.append(f"asked another origin: {url}")

    async def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


_SHIFTED = {
    "$": "Digit4",
    "(": "Digit9",
    ")": "Digit0",
    "+": "Equal",
    ">": "Period",
}
_PLAIN = {" ": "Space", "-": "Minus", "/": "Slash", "\n": "Enter", "=": "Equal", ".": "Period"}


async def type_keys(page: Page, text: str) -> None:
    """Presses and lets go the keys of a US keyboard, as fingers do: a guest reads keys, not characters."""
    for character in text:
        if character in _SHIFTED:
            await page.keyboard.press(f"Shift+{_SHIFTED[character]}")
        elif character in _PLAIN:
            await page.keyboard.press(_PLAIN[character])
        elif character.isdigit():
            await page.keyboard.press(f"Digit{character}")
        else:
            shift = "Shift+" if character.isupper() else ""
            await page.keyboard.press(f"{shift}Key{character.upper()}")


_LIT = """(canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let lit = 0, sum = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] + data[at + 1] + data[at + 2] > 90) { lit += 1; sum = (sum * 31 + at) >>> 0; }
  }
  return [lit, sum];
}"""


class Picture:
    """What stands on a canvas now."""

    def __init__(self, canvas: Locator) -> None:
        self._canvas = canvas

    async def lit(self) -> tuple[int, int]:
        """How many pixels are not dark, and a digest of where they are."""
        count, digest = await self._canvas.evaluate(_LIT)
        return int(count), int(digest)

    async def until_lit(self, at_least: int = 200, timeout_s: float = 30) -> int:
        """The digest of the first picture with something on it."""
        return (await until(self.lit, lambda now: now[0] >= at_least, timeout_s=timeout_s))[1]

    async def until_other_than(self, digest: int, timeout_s: float = 30) -> int:
        return (await until(self.lit, lambda now: now[1] != digest, timeout_s=timeout_s))[1]


class Way:
    """A TCP relay on loopback in front of an agent: what goes through it can be cut, as a network does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._legs: set[asyncio.StreamWriter] = set()
        self.own_port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.own_port}"

    async def open(self) -> None:
        """Lets connections through; at the same port as before."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.own_port)
        self.own_port = int(self._server.sockets[0].getsockname()[1])

    async def cut(self) -> None:
        """Every connection is gone, and new ones are refused."""
        assert self._server is not None
        self._server.close()
        for leg in self._legs:
            leg.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionError:
            writer.transport.abort()
            return
        self._legs |= {writer, far_writer}
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._legs -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def way_to(port: int) -> AsyncIterator[Way]:
    way = Way(port)
    await way.open()
    try:
        yield way
    finally:
        await way.cut()
