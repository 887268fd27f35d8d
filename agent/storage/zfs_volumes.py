"""Volumes on ZFS: sparse or fully reserved zvols, below the pool's dataset.

made, `filling` -> content copied -> `ready`      one that is cut off while it fills is no volume; what follows removes it

Whatever is ours carries our node's mark on itself. A zvol that somebody else put there takes its name, and is never listed,
changed or deleted.
"""

import asyncio
import errno
import os
from collections import Counter
from typing import NoReturn

from agent.storage import zfs_library, zfs_programs
from agent.storage.copying import content_bytes
from agent.storage.driver import Progress
from agent.storage.qemu_img import QemuImg
from agent.storage.zfs_births import ZfsBirths
from agent.storage.zfs_device import wait_for_device
from agent.storage.zfs_link import ZfsLink
from agent.storage.zfs_pool import ZfsPools
from agent.storage.zfs_programs import Row
from horcrux.errors import AlreadyExists, HorcruxError, InUse, Unavailable, Unreachable, invalid_field
from horcrux.ids import NodeId
from horcrux.storage.pool import PoolDocument
from horcrux.storage.refusals import base_never_changes, check_grows, has_clones, no_volume, volume_taken
from horcrux.storage.volume import AS_THE_POOL, Volume, VolumeKind, VolumeOptions
from horcrux.storage.zfs import (
    BASE_SNAPSHOT,
    FILLING,
    READY,
    STATE_MARK,
    ZfsOptions,
    compression_index,
    device_path,
    padded_bytes,
    volume_dataset,
    volume_name,
)

RAW = "raw"
BUSY_TRIES = 20
BUSY_WAIT_S = 0.5
"""udev opens a volume for a moment after it was made, and after whoever wrote to it closed it."""


class ZfsVolumes:
    def __init__(self, link: ZfsLink, pools: ZfsPools, node: NodeId, qemu: QemuImg) -> None:
        self._link = link
        self._pools = pools
        self._node = node
        self._qemu = qemu
        self._filling: Counter[str] = Counter()
        self.births = ZfsBirths(link, node)

    async def all(self, pool: PoolDocument) -> list[Volume]:
        """By name. One call, however many there are."""
        rows = await self._rows(pool)
        return sorted((self.as_volume(pool, row) for row in rows if not row.is_filling), key=lambda v: v.name)

    async def _rows(self, pool: PoolDocument) -> list[Row]:
        target = self._pools.target(pool)
        answer = await self._link.program(target, zfs_programs.LIST, {"target": target, "node": self._node})
        if answer == "missing":
            raise Unavailable(
                f"dataset {target} of pool {pool.id} is not there: it was destroyed or renamed from outside"
            )
        return [zfs_programs.read_row(line) for line in zfs_programs.lines_of(answer)]

    async def find(self, pool: PoolDocument, name: str) -> Volume:
        """With its device there."""
        return await self.with_device(pool, await self.row(pool, name))

    async def row(self, pool: PoolDocument, name: str) -> Row:
        """NotFound, also for what is no volume of ours."""
        row = await self.row_or_none(pool, name)
        if row is None:
            raise no_volume(pool.id, name)
        return row

    async def row_or_none(self, pool: PoolDocument, name: str) -> Row | None:
        row = await self._look(pool, volume_dataset(self._pools.target(pool), name))
        return None if row is None or row.is_filling or row.type != "volume" else row

    async def with_device(self, pool: PoolDocument, row: Row) -> Volume:
        if row.is_locked:
            raise Unavailable(f"the encryption key of {row.dataset} is not loaded", pool=pool.id)
        await wait_for_device(self._link, row.dataset)
        return self.as_volume(pool, row)

    def as_volume(self, pool: PoolDocument, row: Row) -> Volume:
        origin = (row.origin or "").partition("@")[0]
        is_clone = origin.startswith(f"{pool.target}/")
        return Volume(
            pool=pool.id,
            name=volume_name(pool.target, row.dataset),
            format=RAW,
            capacity_bytes=row.volsize,
            allocation_bytes=row.used,
            path=device_path(row.dataset),
            kind=VolumeKind.BLOCK,
            base=volume_name(pool.target, origin) if is_clone else None,
        )

    async def create(
        self, pool: PoolDocument, name: str, capacity_bytes: int, format_: str, options: VolumeOptions
    ) -> Volume:
        dataset = self._dataset_for(pool, name, format_)
        wanted = ZfsOptions.of(pool.options).merged(options)
        await self.clear_leftover(pool, dataset)
        await self._make(pool, dataset, capacity_bytes, wanted, READY)
        return await self.find(pool, name)

    async def fill(
        self, pool: PoolDocument, name: str, source: tuple[str, str], format_: str, progress: Progress
    ) -> Volume:
        """`source` is a path and its format."""
        dataset = self._dataset_for(pool, name, format_)
        size_bytes = await self._link.files(content_bytes, name, *source)
        await self.clear_leftover(pool, dataset)
        self._filling[dataset] += 1
        try:
            await self._make(pool, dataset, size_bytes, ZfsOptions.of(pool.options).merged(AS_THE_POOL), FILLING)
            path = await wait_for_device(self._link, dataset)
            device = await self._link.files(os.path.realpath, path)
            await self._qemu.convert(source, (device, RAW), progress, is_blank_device=True)
            marks = {"dataset": dataset, STATE_MARK: READY}
            answer = await self._link.program(dataset, zfs_programs.MARK, marks, writes=True)
            if answer != "done":
                raise Unreachable(f"{dataset} is filled but could not be marked so: {answer}")
        finally:
            self._filling[dataset] -= 1
        return await self.find(pool, name)

    async def resize(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        row, wanted = await self.row(pool, name), padded_bytes(capacity_bytes)
        check_grows(pool.id, name, row.volsize, wanted)
        if wanted > row.volsize:
            base = f"{row.dataset}@{BASE_SNAPSHOT}"
            if await self._link.run(row.dataset, zfs_library.exists, base):
                raise base_never_changes(pool.id, name)
            # the command also lets what is reserved grow with it
            await self._link.command("zfs", "set", f"volsize={wanted}", row.dataset)
        return await self.find(pool, name)

    async def delete(self, pool: PoolDocument, name: str) -> None:
        await self.destroy(pool, volume_dataset(self._pools.target(pool), name))

    async def destroy(self, pool: PoolDocument, dataset: str, *, leftover: Row | None = None) -> None:
        """Gone with its snapshots, or as it was. What is not ours stays, without a word; with `leftover`, whatever is not, or
        no longer, that cut-off filling too."""
        arguments = {"dataset": dataset, "node": self._node}
        if leftover is not None:
            arguments["leftover"] = leftover.guid
        for _ in range(BUSY_TRIES):
            answer = await self._link.program(dataset, zfs_programs.DESTROY, arguments, writes=True)
            word, rows = zfs_programs.read_verdict(answer)
            match word:
                case "gone" | "foreign" | "other":
                    return
                case "clones" | "holds":
                    refuse(pool, volume_name(pool.target, dataset), word, rows)
                case "bookmarks":
                    await self.drop_bookmarks(dataset)
                case "busy" | "receiving":
                    await self._wait_or_abort(dataset)
                case _:
                    raise refusal(dataset, rows)
        raise InUse(f"{device_path(dataset)} is open: a running VM, or another program, uses it", pool=pool.id)

    async def drop_bookmarks(self, dataset: str, newer_than: int = 0) -> None:
        """Those of the dataset that were made after the transaction group of that number are gone."""
        names = [f"{dataset}#{name}" for name in await self.bookmarks(dataset, newer_than)]
        if names:
            await self._link.run(dataset, zfs_library.destroy_bookmarks, names)

    async def bookmarks(self, dataset: str, newer_than: int = 0) -> list[str]:
        """Short names of those made after the transaction group of that number."""
        found = await self._link.run(dataset, zfs_library.bookmarks, dataset)
        return [name for name, (_, createtxg) in found.items() if createtxg > newer_than]

    async def clear_leftovers(self, pool: PoolDocument) -> None:
        """What was cut off while it was made or filled is gone from the pool."""
        await self.births.claim(self._pools.target(pool))
        for row in await self._rows(pool):
            if row.is_filling and not self._filling[row.dataset]:
                await self.destroy(pool, row.dataset, leftover=row)

    async def clear_leftover(self, pool: PoolDocument, dataset: str) -> None:
        """The same of one name."""
        row = await self._look(pool, dataset)
        if row is not None and row.is_filling and not self._filling[dataset]:
            await self.destroy(pool, dataset, leftover=row)

    async def _look(self, pool: PoolDocument, dataset: str) -> Row | None:
        """What is ours under that name."""
        arguments = {"dataset": dataset, "node": self._node}
        answer = await self._link.program(dataset, zfs_programs.FIND, arguments)
        if answer == "missing" and not await self._link.run(dataset, zfs_library.exists, pool.target):
            raise Unavailable(f"dataset {pool.target} of pool {pool.id} is not there", pool=pool.id)
        return None if answer in ("missing", "foreign") else zfs_programs.read_row(answer)

    def _dataset_for(self, pool: PoolDocument, name: str, format_: str) -> str:
        if format_ != RAW:
            raise invalid_field("format", f"pool {pool.id} makes volumes in {RAW}")
        return volume_dataset(self._pools.target(pool), name)

    async def _make(
        self, pool: PoolDocument, dataset: str, capacity_bytes: int, wanted: VolumeOptions, state: str
    ) -> None:
        """A new, empty volume. AlreadyExists."""
        marks = {**self._pools.marks(pool), STATE_MARK: state}
        make = self._make_sparse if wanted.is_sparse else self._make_reserved
        try:
            async with self.births.noted(pool.target, dataset):
                await make(dataset, padded_bytes(capacity_bytes), wanted, marks)
        except AlreadyExists as err:
            name = volume_name(pool.target, dataset)
            raise volume_taken(pool.id, name, "somebody else's dataset of that name") from err

    async def _make_sparse(self, dataset: str, size_bytes: int, wanted: VolumeOptions, marks: dict[str, str]) -> None:
        properties: dict[str, int | str] = {"volsize": size_bytes, **marks}
        if wanted.block_size_bytes is not None:
            properties["volblocksize"] = wanted.block_size_bytes
        if wanted.compression is not None:
            properties["compression"] = compression_index(wanted.compression)
        await self._link.run(dataset, zfs_library.create_volume, dataset, properties)

    async def _make_reserved(self, dataset: str, size_bytes: int, wanted: VolumeOptions, marks: dict[str, str]) -> None:
        """By the command: it knows what a volume takes at most on mirrors and on each kind of raidz."""
        options = [f"{name}={value}" for name, value in marks.items()]
        if wanted.block_size_bytes is not None:
            options.append(f"volblocksize={wanted.block_size_bytes}")
        if wanted.compression is not None:
            options.append(f"compression={wanted.compression}")
        flags = [word for option in options for word in ("-o", option)]
        await self._link.check(dataset.partition("/")[0])
        await self._link.command("zfs", "create", "-V", str(size_bytes), *flags, dataset)

    async def _wait_or_abort(self, dataset: str) -> None:
        """Before a busy volume is tried again: a cut-off receive into it would never end by itself."""
        token = await self._link.command("zfs", "get", "-Hp", "-o", "value", "receive_resume_token", dataset)
        if token.strip() not in ("-", ""):
            await self._link.command("zfs", "receive", "-A", dataset)
        else:
            await asyncio.sleep(BUSY_WAIT_S)


def refusal(what: str, rows: list[str]) -> HorcruxError:
    """The kernel's errno, and what it is about, as one of ours."""
    code, _, about = (rows[0] if rows else "").partition("\t")
    if code == str(errno.EBUSY):
        return InUse(f"{what} could not be destroyed: {about} is open, or being sent")
    return Unreachable(f"{what} could not be destroyed: ZFS error {code} of {about}")


def refuse(pool: PoolDocument, name: str, word: str, rows: list[str], snapshot: str | None = None) -> NoReturn:
    """InUse of the volume, or of a snapshot of it, naming the clones, or the snapshots and who holds them."""
    if word == "clones":
        raise has_clones(pool.id, name, sorted(volume_name(pool.target, row) for row in rows), snapshot)
    what = f"volume {name}" if snapshot is None else f"snapshot {snapshot} of volume {name}"
    held = sorted(row.replace("\t", " by ") for row in rows)
    raise InUse(f"{what} is held: {', '.join(held)}; replication or a backup needs it", pool=pool.id, holds=held)
