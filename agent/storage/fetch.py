"""Gets images from the web and from folders that the settings allow, piece by piece."""

import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import aiohttp
import msgspec

from agent.blocking import BlockingPool
from horcrux.errors import Invalid, Unreachable, invalid_field
from horcrux.storage.source_url import MAX_REDIRECTS, file_of, next_url, shown_url
from horcrux.units import MIB

CONNECT_S = 30
SILENCE_S = 60
"""How long a source may send nothing."""


class Stream(msgspec.Struct, frozen=True):
    """Bytes that come, and how many, when that is known."""

    chunks: AsyncIterator[bytes]
    length: int | None


class Fetcher:
    """`folders` are those from which `file://` may read. Without state: a session lives as long as its stream."""

    def __init__(self, files: BlockingPool, folders: Sequence[Path]) -> None:
        self._files = files
        self._folders = tuple(folders)

    @asynccontextmanager
    async def open(self, url: str, sha256: str | None) -> AsyncIterator[Stream]:
        """What `url` (checked before) holds. Invalid when it may not be read, Unreachable when its server fails."""
        path = file_of(url)
        if path is None:
            async with self._open_web(url, sha256) as stream:
                yield stream
            return
        file = await self._files.run(self._open_file, path)
        try:
            length = (await self._files.run(os.fstat, file.fileno())).st_size
            yield Stream(self._read(file), length)
        finally:
            await self._files.run(file.close)

    @asynccontextmanager
    async def _open_web(self, url: str, sha256: str | None) -> AsyncIterator[Stream]:
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=SILENCE_S)
        # Bytes as they are: a body decompressed on the way would have another checksum
        async with aiohttp.ClientSession(
            timeout=timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "horcrux"},
        ) as session:
            try:
                for _ in range(MAX_REDIRECTS + 1):
                    async with session.get(url, allow_redirects=False) as answer:
                        if answer.status in (301, 302, 303, 307, 308):
                            url = next_url(url, answer.headers.get("Location", ""), sha256)
                            continue
                        if answer.status != 200:
                            raise Unreachable(f"{shown_url(url)} answered {answer.status}")
                        yield Stream(answer.content.iter_chunked(256 * 1024), answer.content_length)
                        return
            except (aiohttp.ClientError, TimeoutError) as err:
                raise Unreachable(f"{shown_url(url)} cannot be fetched: {_words(err)}") from err
            raise Invalid(f"{shown_url(url)} was reached by more than {MAX_REDIRECTS} redirects")

    def _open_file(self, path: str) -> IO[bytes]:
        """A regular file that really lies below one of the folders, links followed; the opened file is what is checked."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except (OSError, ValueError):
            raise invalid_field("url", _REFUSED) from None
        real = Path(f"/proc/self/fd/{fd}").readlink()
        is_allowed = any(real.is_relative_to(folder.resolve()) for folder in self._folders)
        if not is_allowed or not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise invalid_field("url", _REFUSED)
        return os.fdopen(fd, "rb")

    async def _read(self, file: IO[bytes]) -> AsyncIterator[bytes]:
        while chunk := await self._files.run(file.read, MIB):
            yield chunk


_REFUSED = "no readable file below a folder from which images may be fetched (setting image_folders)"


def _words(err: Exception) -> str:
    """What happened, without the URL, which aiohttp puts into some of its texts."""
    if isinstance(err, aiohttp.ClientConnectorError):
        return f"no connection ({err.os_error.strerror or type(err.os_error).__name__})"
    if isinstance(err, TimeoutError):
        return "it did not answer in time"
    return type(err).__name__
