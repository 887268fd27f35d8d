"""The relay of the screen: browser websocket <-> websockify's Unix socket <-> QEMU's VNC socket.

The VM's socket is named in a token that only we can sign, sent as the Host header, which websockify does not log. Both
directions wait for their reader, so neither a slow browser nor a slow guest fills our memory.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientError, ClientSession, ClientTimeout, ClientWebSocketResponse, UnixConnector, WSMsgType, web
from aiohttp.http import SERVER_SOFTWARE

from agent.compute.driver import ConsolePaths
from agent.console.closing import BYTES_ONLY, LEFT, LOST, Closing
from agent.console.sockets import accept, close, first_end
from agent.console.viewers import Viewer
from agent.console.vm_states import VmStates, why_gone
from agent.console.websockify import VncGate
from horcrux.clock import Clock
from horcrux.errors import Unavailable, Unreachable
from horcrux.ids import VmId

log = logging.getLogger(__name__)

MAX_INPUT_BYTES = 1 << 20
"""A message from the browser: keys, pointer, clipboard."""
MAX_SCREEN_BYTES = 1 << 20
"""A message from websockify, which reads 64 KiB at a time."""
CONNECT_TIMEOUT_S = 5.0


class VncRelay:
    def __init__(self, *, gate: VncGate, paths: ConsolePaths, states: VmStates, clock: Clock) -> None:
        self._gate = gate
        self._paths = paths
        self._states = states
        self._clock = clock

    async def serve(self, request: web.Request, viewer: Viewer) -> web.WebSocketResponse:
        """Shows the viewer's VM until either side or the viewer's session ends; the websocket is closed on return."""
        browser = await accept(request, max_message_bytes=MAX_INPUT_BYTES)
        closing = LEFT
        try:
            closing = await first_end(self._relay(browser, viewer), viewer.ended())
        finally:
            await close(request, browser, closing)
        return browser

    async def _relay(self, browser: web.WebSocketResponse, viewer: Viewer) -> Closing:
        vm_id = viewer.ticket.vm_id
        try:
            async with self._screen(self._paths.vnc_socket(vm_id)) as screen:
                return await first_end(_input(browser, screen), self._output(screen, browser, vm_id))
        except (Unavailable, Unreachable) as err:
            log.warning("no way to the screen: vm=%s cause=%s", vm_id, err)
            return await why_gone(self._states, vm_id, self._clock)

    @asynccontextmanager
    async def _screen(self, socket: str) -> AsyncIterator[ClientWebSocketResponse]:
        """A connection to the VNC socket at `socket`. Our own errors only: aiohttp's carry the request, and so the token."""
        gate = await self._gate.ready()
        async with ClientSession(
            connector=UnixConnector(str(gate)), timeout=ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S)
        ) as session:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    screen = await session.ws_connect(
                        "http://console/",
                        headers={"Host": self._gate.sign(socket), "User-Agent": SERVER_SOFTWARE},
                        protocols=("binary",),
                        max_msg_size=MAX_SCREEN_BYTES,
                    )
            except (ClientError, OSError, TimeoutError) as err:
                raise Unreachable(f"websockify refused {socket} ({type(err).__name__})") from None
            async with screen:
                yield screen

    async def _output(self, screen: ClientWebSocketResponse, browser: web.WebSocketResponse, vm_id: VmId) -> Closing:
        try:
            async for message in screen:
                await browser.send_bytes(message.data)
        except ConnectionError:
            return LEFT
        return await why_gone(self._states, vm_id, self._clock)


async def _input(browser: web.WebSocketResponse, screen: ClientWebSocketResponse) -> Closing:
    try:
        async for message in browser:
            if message.type is not WSMsgType.BINARY:
                return BYTES_ONLY
            await screen.send_bytes(message.data)
    except ConnectionError:
        return LOST
    return LEFT
