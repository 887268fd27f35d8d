"""The serial console: one line for each VM that somebody looks at, shared by all its viewers.

QEMU's socket takes one reader at a time, so the line owns it, hands every byte to each viewer and merges what they type.
A newcomer first gets the last 64 KiB. A viewer that does not keep up is dropped; the guest never waits for one.

    first viewer -> connecting -> live -> (socket ends) -> connecting, for as long as the VM runs
                        |                                      '-> VM stays stopped for 3 s -> closed (4000)
                        '-> not reached for 15 s though the VM runs -> closed (4002)
    last viewer leaves -> line is gone, QEMU goes on writing its log
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from aiohttp import WSMsgType, web

from agent.compute.driver import ConsolePaths
from agent.console.closing import GOING_AWAY, LEFT, LOST, TOO_SLOW, VM_STOPPED, Closing
from agent.console.serial_log import SerialLogs
from agent.console.sockets import accept, close, first_end
from agent.console.viewers import Viewer
from agent.console.vm_states import VmStates, has_guest
from horcrux.clock import Clock
from horcrux.ids import VmId

log = logging.getLogger(__name__)

REPLAY_BYTES = 64 * 1024
BACKLOG_BYTES = 1 << 20
"""What a viewer may be behind before it is dropped."""
MAX_INPUT_BYTES = 64 * 1024
STOPPED_AFTER_S = 3.0
LOST_AFTER_S = 15.0
_CHUNK_BYTES = 16 * 1024
_RETRY_EVERY_S = 0.1
_LONGEST_OVERLAP_BYTES = 4096
_KNOWN_BY_BYTES = 256


class Tap:
    """One viewer's end of a line."""

    def __init__(self, viewer: Viewer, line: "SerialLine") -> None:
        self._viewer = viewer
        self._line = line
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._closing: Closing | None = None
        self._stirred = asyncio.Event()

    def push(self, output: bytes) -> None:
        """Queues output; the viewer that is more than 1 MiB behind is ended instead."""
        if self._pending_bytes + len(output) > BACKLOG_BYTES:
            self._viewer.end(TOO_SLOW)
            return
        if output:
            self._pending.append(output)
            self._pending_bytes += len(output)
            self._stirred.set()

    def finish(self, closing: Closing) -> None:
        """No output comes any more; what is queued is still read."""
        self._closing = closing
        self._stirred.set()

    async def read(self) -> bytes | Closing:
        """All output since the last call, or why there is none any more."""
        while True:
            if self._pending:
                output = b"".join(self._pending)
                self._pending.clear()
                self._pending_bytes = 0
                return output
            if self._closing is not None:
                return self._closing
            self._stirred.clear()
            await self._stirred.wait()

    async def write(self, typed: bytes) -> None:
        """Hands input to the guest; waits while the guest takes none."""
        await self._line.typed.put(typed)


class SerialLine:
    """Owner of one VM's serial socket; see the module for its life."""

    def __init__(self, vm_id: VmId, *, socket: str, logs: SerialLogs, states: VmStates, clock: Clock) -> None:
        self._vm_id = vm_id
        self._socket = socket
        self._logs = logs
        self._states = states
        self._clock = clock
        self.taps: set[Tap] = set()
        self.typed: asyncio.Queue[bytes] = asyncio.Queue(maxsize=16)
        self._recent = bytearray()
        self.is_over = False

    def add(self, tap: Tap) -> None:
        tap.push(bytes(self._recent))
        self.taps.add(tap)

    async def run(self) -> None:
        """Serves the taps until the VM has stopped or is lost; then they all know why."""
        closing = GOING_AWAY
        try:
            while True:
                connection = await self._connect()
                if isinstance(connection, Closing):
                    closing = connection
                    return
                await self._carry(*connection)
        except OSError as err:
            log.warning("serial log not read: vm=%s cause=%s", self._vm_id, err)
            closing = LOST
        finally:
            self.is_over = True
            for tap in self.taps:
                tap.finish(closing)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | Closing:
        """The open socket; or why there will be none."""
        began_s = self._clock.monotonic()
        while True:
            with suppress(OSError):
                return await asyncio.open_unix_connection(self._socket, limit=4 * _CHUNK_BYTES)
            waited_s = self._clock.monotonic() - began_s
            if waited_s >= STOPPED_AFTER_S and not has_guest(self._states, self._vm_id):
                return VM_STOPPED
            if waited_s >= LOST_AFTER_S:
                log.warning("serial line not reached: vm=%s socket=%s", self._vm_id, self._socket)
                return LOST
            await self._clock.sleep(_RETRY_EVERY_S)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Output to all, input from all, until the socket ends. Input that was typed before is not for this guest."""
        while not self.typed.empty():
            self.typed.get_nowait()
        try:
            await self._replay(reader)
            await first_end(self._output(reader), self._input(writer))
        finally:
            writer.close()

    async def _replay(self, reader: asyncio.StreamReader) -> None:
        """Begins with what the log holds and nobody was told. What came meanwhile may stand there too, and is told once."""
        logged = unseen(await self._logs.tail(self._vm_id, REPLAY_BYTES), bytes(self._recent))
        came = b""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(0):
                came = await reader.read(4 * _CHUNK_BYTES)
        self._tell(logged + came[overlap(logged, came) :])

    async def _output(self, reader: asyncio.StreamReader) -> Closing:
        with suppress(OSError):
            while output := await reader.read(_CHUNK_BYTES):
                self._tell(output)
        return LOST

    async def _input(self, writer: asyncio.StreamWriter) -> Closing:
        with suppress(OSError):
            while True:
                writer.write(await self.typed.get())
                await writer.drain()
        return LOST

    def _tell(self, output: bytes) -> None:
        self._recent += output
        del self._recent[:-REPLAY_BYTES]
        for tap in self.taps:
            tap.push(output)


class SerialHub:
    """All lines of this node. Enter and leave it in one task; leaving it closes every line."""

    def __init__(self, *, paths: ConsolePaths, logs: SerialLogs, states: VmStates, clock: Clock) -> None:
        self._paths = paths
        self._logs = logs
        self._states = states
        self._clock = clock
        self._lines: dict[VmId, tuple[SerialLine, asyncio.Task[None]]] = {}
        self._group = asyncio.TaskGroup()
        self._work = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._work.enter_async_context(self._group)
        self._work.callback(self._cancel_lines)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._work.__aexit__(kind, error, trace)

    async def serve(self, request: web.Request, viewer: Viewer) -> web.WebSocketResponse:
        """Shows the viewer's serial line until it, the VM or the session ends; the websocket is closed on return."""
        browser = await accept(request, max_message_bytes=MAX_INPUT_BYTES)
        closing = LEFT
        try:
            async with self.tap(viewer) as tap:
                closing = await first_end(_to_browser(tap, browser), _from_browser(browser, tap), viewer.ended())
        finally:
            await close(request, browser, closing)
        return browser

    @asynccontextmanager
    async def tap(self, viewer: Viewer) -> AsyncIterator[Tap]:
        """The viewer's end of its VM's line, which is there for as long as somebody has one."""
        line, task = self._line_of(viewer.ticket.vm_id)
        tap = Tap(viewer, line)
        line.add(tap)
        try:
            yield tap
        finally:
            line.taps.discard(tap)
            if not line.taps:
                task.cancel()
                if self._lines.get(viewer.ticket.vm_id) == (line, task):
                    del self._lines[viewer.ticket.vm_id]

    def _line_of(self, vm_id: VmId) -> tuple[SerialLine, asyncio.Task[None]]:
        held = self._lines.get(vm_id)
        if held is None or held[0].is_over:
            line = SerialLine(
                vm_id,
                socket=self._paths.serial_socket(vm_id),
                logs=self._logs,
                states=self._states,
                clock=self._clock,
            )
            held = (line, self._group.create_task(line.run(), name=f"serial {vm_id}"))
            self._lines[vm_id] = held
        return held

    def _cancel_lines(self) -> None:
        for _, task in self._lines.values():
            task.cancel()


def unseen(logged: bytes, told: bytes) -> bytes:
    """What of `logged` comes after the end of `told`; all of it when that end is not in there, as in the log of a new start."""
    last = told[-_KNOWN_BY_BYTES:]
    at = logged.rfind(last) if last else -1
    return logged if at < 0 else logged[at + len(last) :]


def overlap(logged: bytes, came: bytes) -> int:
    """How many bytes at the start of `came` are the end of `logged`, looking at no more than 4 KiB."""
    for length in range(min(len(logged), len(came), _LONGEST_OVERLAP_BYTES), 0, -1):
        if logged.endswith(came[:length]):
            return length
    return 0


async def _to_browser(tap: Tap, browser: web.WebSocketResponse) -> Closing:
    try:
        while True:
            output = await tap.read()
            if isinstance(output, Closing):
                return output
            await browser.send_bytes(output)
    except ConnectionError:
        return LEFT


async def _from_browser(browser: web.WebSocketResponse, tap: Tap) -> Closing:
    async for message in browser:
        if message.type is WSMsgType.TEXT:
            await tap.write(message.data.encode())
        elif message.type is WSMsgType.BINARY:
            await tap.write(message.data)
    return LEFT
