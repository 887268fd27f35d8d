"""Pipes between the event loop and a thread that reads or writes the other end by itself (the kernel's ZFS).

Whoever makes one closes both ends; closing ours early is how the thread is told to stop.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")

PIPE_BYTES = 1024 * 1024
READ_BYTES = 256 * 1024


class PipeWriter(asyncio.Protocol):
    """Our end is for writing. `write` returns when the pipe has taken most of it, or nobody reads on."""

    def __init__(self) -> None:
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._gone = asyncio.Event()
        self._transport: asyncio.WriteTransport | None = None
        self._is_cut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._gone.set()
        self._has_room.set()

    def pause_writing(self) -> None:
        if not self._gone.is_set():
            self._has_room.clear()

    def resume_writing(self) -> None:
        self._has_room.set()

    @property
    def is_deserted(self) -> bool:
        """Nobody reads on."""
        return self._gone.is_set()

    async def write(self, piece: bytes) -> None:
        if self._transport is not None and not self._gone.is_set():
            self._transport.write(piece)
            await asyncio.sleep(
                0
            )  # `wait` alone gives the loop no turn while there is room: the end would not be heard
            await self._has_room.wait()

    async def end(self) -> None:
        """What was written has been read, or nobody reads on; then our end is closed."""
        if self._transport is not None:
            self._transport.close()
        await self._gone.wait()

    def cut(self) -> None:
        """Our end is closed, whatever has not been read; once more does no harm (asyncio's own `abort` may be called once)."""
        transport = self._transport
        if transport is None or self._is_cut or self._gone.is_set():
            return
        self._is_cut = True
        if not transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()


@asynccontextmanager
async def pipe_for_writing() -> AsyncIterator[tuple[PipeWriter, int]]:
    """Our end, and the descriptor of the other, which is closed by the end of the block at the latest (`os.close`)."""
    theirs, ours = _pipe()
    loop = asyncio.get_running_loop()
    file = os.fdopen(ours, "wb", buffering=0)
    try:
        _, writer = await loop.connect_write_pipe(PipeWriter, file)
    except BaseException:
        file.close()
        os.close(theirs)
        raise
    try:
        yield writer, theirs
    finally:
        writer.cut()


class PipeReader:
    """Our end is for reading."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self._reader = reader
        self._transport = transport

    async def read(self) -> bytes:
        """Empty at the end."""
        return await self._reader.read(READ_BYTES)

    def cut(self) -> None:
        """Our end is closed: whoever writes on gets EPIPE."""
        self._transport.close()


@asynccontextmanager
async def pipe_for_reading() -> AsyncIterator[tuple[PipeReader, int]]:
    """Our end, and the descriptor of the other. Leaving the block closes ours."""
    ours, theirs = _pipe()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_BYTES)
    file = os.fdopen(ours, "rb", buffering=0)
    try:
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    except BaseException:
        file.close()
        os.close(theirs)
        raise
    try:
        yield PipeReader(reader, transport), theirs
    finally:
        transport.close()


@asynccontextmanager
async def beside(work: Coroutine[None, None, T], stop: Callable[[], None]) -> AsyncIterator["asyncio.Task[T]"]:
    """Runs `work` beside the block; at its end `stop` makes it come to its own end, which is awaited whatever happens."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        stop()
        is_cut = False
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                is_cut = True
        if is_cut:
            raise asyncio.CancelledError


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except PermissionError:  # the user's pages for pipes are used up (pipe-user-pages-soft): a small one works too
        return reading, writing
    return reading, writing
