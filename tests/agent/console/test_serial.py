"""The serial line, shared by its viewers, against a socket that takes one reader at a time as QEMU's does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from agent.console.closing import CloseCode
from agent.console.serial import BACKLOG_BYTES, REPLAY_BYTES, overlap, unseen
from agent.console.serial_log import MAX_TAIL_BYTES, read_log
from horcrux.auth.principal import Ended
from horcrux.compute.vm import RunState
from horcrux.ids import UserName, VmId
from tests.agent.console.kit import Console, console
from tests.support.waiting import eventually

VM = VmId("vm-1")


class Guest:
    """QEMU's end of a serial line: one reader at a time, and a log of everything whether one is there or not."""

    def __init__(self, socket: str, log: str) -> None:
        self._socket = socket
        self._log = Path(log)
        self._one_reader = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self.heard = bytearray()
        self.readers = 0
        self.most_readers = 0
        self.takes_input = asyncio.Event()
        self.takes_input.set()

    @property
    def has_reader(self) -> bool:
        return self._writer is not None

    async def start(self) -> None:
        """A new life: an empty log, and the socket."""
        await asyncio.to_thread(self._log.write_bytes, b"")
        self._server = await asyncio.start_unix_server(self._serve, self._socket)

    async def say(self, output: bytes) -> None:
        def append() -> None:
            with self._log.open("ab") as file:
                file.write(output)

        await asyncio.to_thread(append)
        if self._writer is not None:
            self._writer.write(output)
            await self._writer.drain()

    async def end(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.close()
        await asyncio.to_thread(Path(self._socket).unlink, missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.readers += 1
        self.most_readers = max(self.most_readers, self.readers)
        async with self._one_reader:
            self._writer = writer
            try:
                while data := await reader.read(4096):
                    self.heard += data
                    await self.takes_input.wait()
            finally:
                self._writer = None
                self.readers -= 1
                writer.close()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Console, Guest]]:
    async with console() as node:
        guest = Guest(node.hosts.serial_socket(VM), node.hosts.serial_log(VM))
        await guest.start()
        node.hosts.states[VM] = RunState.RUNNING
        yield node, guest
        guest.takes_input.set()
        await node.leave()
        await eventually(lambda: node.service.viewers(VM) == 0 and not guest.has_reader)
        await guest.end()


async def read(socket: ClientWebSocketResponse, size: int) -> bytes:
    """The next `size` bytes, or more that came with them."""
    data = b""
    async with asyncio.timeout(20):
        while len(data) < size:
            data += await socket.receive_bytes()
    return data


async def rest(socket: ClientWebSocketResponse) -> tuple[bytes, int | None]:
    """Everything up to the close, and its code."""
    data = b""
    async with asyncio.timeout(25):
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            data += message.data
    return data, socket.close_code


async def test_all_viewers_see_what_the_guest_writes_and_all_may_type() -> None:
    async with running() as (node, guest):
        first, second = await node.watch(VM, "serial"), await node.watch(VM, "serial")
        await eventually(lambda: guest.has_reader)
        await guest.say(b"login: ")
        assert await read(first, 7) == b"login: "
        assert await read(second, 7) == b"login: "
        await first.send_str("ro")
        await eventually(lambda: guest.heard == b"ro")
        await second.send_bytes(b"ot\r")
        await eventually(lambda: guest.heard == b"root\r")
        assert guest.most_readers == 1


async def test_a_newcomer_gets_the_last_64_kib_once_and_then_what_follows() -> None:
    async with running() as (node, guest):
        before = b"".join(b"line %06d\r\n" % number for number in range(10_000))
        await guest.say(before)
        first = await node.watch(VM, "serial")
        assert await read(first, REPLAY_BYTES) == before[-REPLAY_BYTES:]
        await guest.say(b"fresh")
        assert await read(first, 5) == b"fresh"
        second = await node.watch(VM, "serial")
        assert await read(second, REPLAY_BYTES) == (before + b"fresh")[-REPLAY_BYTES:]


async def test_two_hundred_pasted_lines_arrive_whole() -> None:
    async with running() as (node, guest):
        socket = await node.watch(VM, "serial")
        paste = "".join(f"echo line {number} {'x' * 60}\r" for number in range(200))
        for start in range(0, len(paste), 1000):
            await socket.send_str(paste[start : start + 1000])
        await eventually(lambda: len(guest.heard) >= len(paste))
        assert guest.heard.decode() == paste


async def test_the_line_is_left_when_the_last_viewer_goes_and_the_guest_s_words_are_kept() -> None:
    async with running() as (node, guest):
        first, second = await node.watch(VM, "serial"), await node.watch(VM, "serial")
        await eventually(lambda: guest.has_reader)
        await first.close()
        await eventually(lambda: node.service.viewers(VM) == 1)
        assert guest.has_reader
        await second.close()
        await eventually(lambda: not guest.has_reader)
        await guest.say(b"said to nobody")
        assert await node.logs.read(VM) == "said to nobody"
        assert await read(await node.watch(VM, "serial"), 14) == b"said to nobody"


async def test_a_restart_of_the_vm_is_followed_and_its_first_words_are_not_lost() -> None:
    async with running() as (node, guest):
        socket = await node.watch(VM, "serial")
        await eventually(lambda: guest.has_reader)
        await guest.say(b"bye.")
        assert await read(socket, 4) == b"bye."
        await guest.end()
        await eventually(lambda: not guest.has_reader)
        await guest.start()
        await guest.say(b"firmware ")
        await eventually(lambda: guest.has_reader)
        await guest.say(b"kernel")
        assert await read(socket, 15) == b"firmware kernel"


async def test_when_the_vm_stops_its_last_words_are_shown_before_the_close() -> None:
    async with running() as (node, guest):
        socket = await node.watch(VM, "serial")
        await eventually(lambda: guest.has_reader)
        await guest.say(b"Power down.")
        await guest.end()
        node.hosts.states[VM] = RunState.STOPPED
        assert await rest(socket) == (b"Power down.", CloseCode.VM_STOPPED)
        await guest.start()


async def test_a_viewer_that_does_not_read_is_dropped_and_stalls_neither_guest_nor_neighbour() -> None:
    async with running() as (node, guest):
        slow, quick = await node.watch(VM, "serial"), await node.watch(VM, "serial")
        await eventually(lambda: guest.has_reader and node.service.viewers(VM) == 2)
        slow_stream = slow._conn
        assert slow_stream is not None
        assert slow_stream.transport is not None
        slow_stream.transport.pause_reading()
        chunk = b"." * 65536
        total = 0
        async with asyncio.timeout(30):
            while node.service.viewers(VM) == 2 or total < 2 * BACKLOG_BYTES:
                await guest.say(chunk)
                total += len(await read(quick, len(chunk)))
        assert node.service.viewers(VM) == 1
        await guest.say(b"still here")
        assert (await read(quick, 10)).endswith(b"still here")
        slow_stream.transport.abort()


async def test_logging_out_closes_the_serial_console_too() -> None:
    async with running() as (node, _guest):
        socket = await node.watch(VM, "serial")
        await eventually(lambda: node.service.viewers(VM) == 1)
        node.service.close_for(Ended(user=UserName("ada"), token_id="session-ada"))
        assert await rest(socket) == (b"", CloseCode.SESSION_ENDED)


async def test_input_for_a_guest_that_takes_none_does_not_keep_the_viewer_from_leaving() -> None:
    async with running() as (node, guest):
        guest.takes_input.clear()
        socket = await node.watch(VM, "serial")
        await eventually(lambda: guest.has_reader)
        for _ in range(8):
            await socket.send_bytes(b"y" * 60_000)
        node.service.close_for(Ended(user=UserName("ada"), token_id="session-ada"))
        assert (await rest(socket))[1] == CloseCode.SESSION_ENDED


def test_a_log_is_read_from_its_end_within_bounds_and_over_its_rotation(tmp_path: Path) -> None:
    log = tmp_path / "serial.log"
    assert read_log(log, 100) == b""
    log.write_bytes(b"new")
    (tmp_path / "serial.log.0").write_bytes(b"older,")
    assert read_log(log, 2) == b"ew"
    assert read_log(log, 5) == b"r,new"
    assert read_log(log, 10**12) == b"older,new"
    assert read_log(log, -5) == b""
    log.write_bytes(b"z" * (MAX_TAIL_BYTES + 10))
    assert len(read_log(log, 10**12)) == MAX_TAIL_BYTES


async def test_a_log_of_any_bytes_is_text() -> None:
    async with console() as node:
        await asyncio.to_thread(Path(node.hosts.serial_log(VM)).write_bytes, b"ok \xff\xfe end")
        assert await node.logs.read(VM, 6) == "�� end"[-6:]
        assert await node.logs.read(VM, 7) == " �� end"[-7:]


@given(st.binary(max_size=40), st.binary(max_size=20), st.binary(max_size=20))
def test_what_stands_in_the_log_already_is_told_once(before: bytes, both: bytes, after: bytes) -> None:
    logged, came = before + both, both + after
    length = overlap(logged, came)
    assert length >= len(both)
    assert logged.endswith(came[:length])


@pytest.mark.parametrize(
    ("logged", "came", "expected"), [(b"", b"a", 0), (b"xab", b"abc", 2), (b"aaa", b"aa", 2), (b"ab", b"c", 0)]
)
def test_overlap(logged: bytes, came: bytes, expected: int) -> None:
    assert overlap(logged, came) == expected


def test_after_a_reconnect_only_what_was_not_told_yet_is_told() -> None:
    told = b"boot 1\nlogin: root\n"
    assert unseen(told + b"# reboot\n", told) == b"# reboot\n"
    assert unseen(told, told) == b""
    assert unseen(b"boot 2\n", told) == b"boot 2\n"
    assert unseen(b"boot 1\n", b"") == b"boot 1\n"
