"""Snapshots of volumes on ZFS: all of a call are of one instant, and a guest may write meanwhile."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

from agent.storage import zfs_library, zfs_programs
from agent.storage.zfs_device import wait_for_device
from agent.storage.zfs_link import ZfsLink
from agent.storage.zfs_programs import Row, SnapshotRow
from agent.storage.zfs_volumes import BUSY_TRIES, BUSY_WAIT_S, ZfsVolumes, refusal, refuse
from horcrux.errors import AlreadyExists, Conflict, InUse, NotFound, invalid_field
from horcrux.replication.points import OURS
from horcrux.storage.pool import PoolDocument
from horcrux.storage.volume import VolumeSnapshot
from horcrux.storage.zfs import BASE_SNAPSHOT, MAX_NAME

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*\Z")


class ZfsSnapshots:
    """`VolumeSnapshots` of the pools of one driver."""

    def __init__(
        self, link: ZfsLink, volumes: ZfsVolumes, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._link = link
        self._volumes = volumes
        self._sleep = sleep

    def are_live(self, pool: PoolDocument) -> bool:
        return True

    async def snapshot_volumes(self, pool: PoolDocument, names: Sequence[str], snapshot: str) -> None:
        rows = await asyncio.gather(*(self._volumes.row(pool, name) for name in dict.fromkeys(names)))
        if not rows:
            return
        wanted = [_whole(row, snapshot) for row in rows]
        try:
            await self._link.run(pool.target, zfs_library.snapshot, wanted, {})
        except AlreadyExists as err:
            there = ", ".join(names)
            raise AlreadyExists(
                f"there is a snapshot {snapshot} already of one of these volumes of pool {pool.id}: {there}",
                pool=pool.id,
            ) from err

    async def list_snapshots(self, pool: PoolDocument, name: str) -> list[VolumeSnapshot]:
        rows = await self.rows(await self._volumes.row(pool, name))
        return [
            VolumeSnapshot(name=row.name, created_at=float(row.creation), used_bytes=row.used)
            for row in rows
            if row.name != BASE_SNAPSHOT
        ]

    async def revert_volume(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        row = await self._volumes.row(pool, name)
        rows = await self.rows(row)
        to = next((found for found in rows if found.name == snapshot), None)
        if to is None:
            raise NotFound(f"volume {name} of pool {pool.id} has no snapshot {snapshot}", pool=pool.id, volume=name)
        newer = [found.name for found in rows if found.createtxg > to.createtxg]
        lost = [found for found in newer if not found.startswith(OURS)]
        if lost:
            words = f"volume {name} of pool {pool.id} has newer snapshots, which ZFS would lose: {', '.join(lost)}"
            raise Conflict(words, pool=pool.id, volume=name, newer=lost)
        foreign = [
            mark for mark in await self._volumes.bookmarks(row.dataset, to.createtxg) if not mark.startswith(OURS)
        ]
        if foreign:
            words = f"volume {name} of pool {pool.id} has newer bookmarks, which ZFS would lose: {', '.join(foreign)}"
            raise Conflict(words, pool=pool.id, volume=name, newer=foreign)
        await self._check_not_open(pool, row)
        for passing in newer:  # of a replication that was cut off: it begins anew from an older point
            await self.delete_snapshot(pool, name, passing)
        await self._volumes.drop_bookmarks(row.dataset, newer_than=to.createtxg)
        await self._link.run(row.dataset, zfs_library.roll_back, row.dataset, _whole(row, snapshot))
        if row.refreservation and to.volsize != row.volsize:
            await self._link.command("zfs", "set", "refreservation=auto", row.dataset)
        await wait_for_device(self._link, row.dataset)

    async def _check_not_open(self, pool: PoolDocument, row: Row) -> None:
        """Before anything goes for a rollback. udev opens a volume for a moment after every write to it, which is waited for;
        InUse for whatever keeps it open longer."""
        for _ in range(BUSY_TRIES):
            answer = await self._link.program(row.dataset, zfs_programs.OPEN, {"dataset": row.dataset}, writes=True)
            word, rows = zfs_programs.read_verdict(answer)
            match word:
                case "free":
                    return
                case "busy":
                    await self._sleep(BUSY_WAIT_S)
                case "missing":
                    raise NotFound(f"{row.dataset} is not there any more")
                case _:
                    raise refusal(row.dataset, rows)
        raise InUse(f"{row.dataset} is open: a running VM, or another program, uses it", pool=pool.id)

    async def delete_snapshot(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        row = await self._volumes.row_or_none(pool, name)
        if row is None:
            return
        whole = _whole(row, snapshot)
        answer = await self._link.program(row.dataset, zfs_programs.DESTROY_SNAPSHOT, {"snapshot": whole}, writes=True)
        word, rows = zfs_programs.read_verdict(answer)
        if word == "gone":
            return
        if word in ("clones", "holds"):
            refuse(pool, name, word, rows, snapshot)
        raise refusal(f"snapshot {whole}", rows)

    async def rows(self, row: Row) -> list[SnapshotRow]:
        """Of a volume, oldest first, ours and others'."""
        answer = await self._link.program(row.dataset, zfs_programs.SNAPSHOTS, {"dataset": row.dataset})
        if answer == "missing":
            raise NotFound(f"{row.dataset} is not there any more")
        return zfs_programs.read_snapshots(answer)


def _whole(row: Row, snapshot: str) -> str:
    if not _NAME.match(snapshot) or snapshot == BASE_SNAPSHOT:
        raise invalid_field("name", "letters, digits, '.', '_', ':' or '-', as ZFS allows in the name of a snapshot")
    whole = f"{row.dataset}@{snapshot}"
    if len(whole) > MAX_NAME:
        raise invalid_field("name", f"shorter: {whole} must have up to {MAX_NAME} characters")
    return whole
