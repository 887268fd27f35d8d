"""Linked clones by qcow2 backing files: the ability of pools that are folders.

    volume (0600) --rename--> base (then 0444: nobody writes to it again) <--named by-- clones (qcow2 overlays)

A clone names its base by the file's name alone, so a folder may be moved. The rename is the point of commitment.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agent.blocking import BlockingPool
from agent.durable import disk_errors, sync_folder
from agent.storage.qcow2_snapshots import Find
from agent.storage.volume_folder import check_free, clones_in_folder, is_base
from horcrux.errors import NotFound
from horcrux.storage.pool import PoolDocument
from horcrux.storage.refusals import check_no_clones, no_volume, not_a_base, volume_taken
from horcrux.storage.volume import Volume, volume_file

Make = Callable[[Path, str, int, tuple[str, str]], Awaitable[None]]
"""Makes a file whole or not at all: its path, format and size in bytes, and the name and format of the file below it."""

_BASE_MODE = 0o444
"""Readable by all, as images are: libvirt gives a file back to root when one guest of several ends."""


class Qcow2Clones:
    """`find`, `folder_of` and `make` are the driver's; `files` runs what blocks."""

    def __init__(self, find: Find, folder_of: Callable[[PoolDocument], str], files: BlockingPool, make: Make) -> None:
        self._find = find
        self._folder_of = folder_of
        self._files = files
        self._make = make
        self._linking = asyncio.Lock()

    async def make_base(self, pool: PoolDocument, name: str, base: str) -> Volume:
        volume = await self._found(pool, name)
        made = await self._found(pool, base)
        if volume is not None and made is not None and base != name:
            raise volume_taken(pool.id, base)
        begun = volume or made
        if begun is None:
            raise no_volume(pool.id, name)
        async with self._linking:
            if made is None:
                await self._refuse_clones(pool, name)
            await self._files.run(_make_base, begun.path, volume_file(base, begun.format))
        return await self._find(pool, base)

    async def clone_volume(self, pool: PoolDocument, base: str, name: str) -> Volume:
        folder = self._folder_of(pool)
        async with self._linking:
            below = await self._find(pool, base)
            if not await self._files.run(is_base, below.path):
                raise not_a_base(pool.id, base)
            await self._files.run(check_free, pool.id, folder, name)
            final = Path(folder, volume_file(name, "qcow2"))
            await self._make(final, "qcow2", below.capacity_bytes, (Path(below.path).name, below.format))
        return await self._find(pool, name)

    async def clones_of_volume(self, pool: PoolDocument, name: str) -> list[str]:
        await self._find(pool, name)
        return await self._files.run(clones_in_folder, pool.id, self._folder_of(pool), name)

    @asynccontextmanager
    async def held(self, pool: PoolDocument, name: str) -> AsyncIterator[None]:
        """While the block runs the volume has no clones and gets none. InUse, naming them."""
        async with self._linking:
            await self._refuse_clones(pool, name)
            yield

    async def _refuse_clones(self, pool: PoolDocument, name: str) -> None:
        clones = await self._files.run(clones_in_folder, pool.id, self._folder_of(pool), name)
        check_no_clones(pool.id, name, clones)

    async def _found(self, pool: PoolDocument, name: str) -> Volume | None:
        try:
            return await self._find(pool, name)
        except NotFound:
            return None


def _make_base(path: str, file: str) -> None:
    """The file has the base's name, then may not be written to. Done again it does what was left to do."""
    old = Path(path)
    new = old.with_name(file)
    with disk_errors(f"{old.name} could not be made the base {file}"):
        old.rename(new)
        sync_folder(new.parent)
        new.chmod(_BASE_MODE)
