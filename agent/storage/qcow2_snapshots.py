"""Snapshots inside qcow2 files: the ability of pools that are folders.

They are made by `qemu-img`, so nobody may have the file open; a running guest's QEMU makes its own. Their list is read from
the file, whoever has it open. QEMU's qcow2 allows two snapshots of one name; we do not make such, and delete both.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from agent.blocking import BlockingPool
from agent.storage.qemu_img import QemuImg
from agent.storage.volume_folder import is_base, snapshots_in
from horcrux.errors import AlreadyExists, Conflict, NotFound
from horcrux.storage.pool import PoolDocument
from horcrux.storage.qcow2 import Qcow2Snapshot
from horcrux.storage.refusals import base_never_changes
from horcrux.storage.volume import Volume, VolumeSnapshot

Find = Callable[[PoolDocument, str], Awaitable[Volume]]
"""The volume of that name, with what it stands on looked at (`StorageDriver.find_volume`)."""


class Qcow2Snapshots:
    """`find` is the driver's; `files` runs what blocks."""

    def __init__(self, find: Find, files: BlockingPool, qemu: QemuImg) -> None:
        self._find = find
        self._files = files
        self._qemu = qemu

    def are_live(self, pool: PoolDocument) -> bool:
        return False

    async def snapshot_volumes(self, pool: PoolDocument, names: Sequence[str], snapshot: str) -> None:
        volumes = [await self._changeable(pool, name) for name in names]
        for volume in volumes:
            if any(kept.name == snapshot for kept in await self._kept(volume)):
                raise AlreadyExists(
                    f"volume {volume.name} of pool {pool.id} has a snapshot {snapshot} already",
                    volume=volume.name,
                    snapshot=snapshot,
                )
        async with AsyncExitStack() as undo:
            for volume in volumes:
                undo.push_async_callback(self.delete_snapshot, pool, volume.name, snapshot)
                await self._qemu.snapshot("-c", volume.path, snapshot)
            undo.pop_all()

    async def list_snapshots(self, pool: PoolDocument, name: str) -> list[VolumeSnapshot]:
        volume = await self._find(pool, name)
        if volume.format != "qcow2":
            return []
        kept = sorted(await self._kept(volume), key=lambda s: s.created_at)
        return [VolumeSnapshot(name=s.name, created_at=s.created_at) for s in kept]

    async def revert_volume(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        volume = await self._changeable(pool, name)
        found = next((kept for kept in await self._kept(volume) if kept.name == snapshot), None)
        if found is None:
            words = f"volume {name} of pool {pool.id} has no snapshot {snapshot}"
            raise NotFound(words, volume=name, snapshot=snapshot)
        await self._qemu.snapshot("-a", volume.path, found.id)  # QEMU looks for an id first: a name may look like one

    async def delete_snapshot(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        try:
            volume = await self._find(pool, name)
        except NotFound:
            return
        if volume.format != "qcow2":
            return
        for kept in await self._kept(volume):
            if kept.name == snapshot:
                await self._changeable(pool, name)
                await self._qemu.snapshot("-d", volume.path, snapshot)

    async def _kept(self, volume: Volume) -> list[Qcow2Snapshot]:
        return await self._files.run(snapshots_in, volume.path)

    async def _changeable(self, pool: PoolDocument, name: str) -> Volume:
        volume = await self._find(pool, name)
        if volume.format != "qcow2":
            raise Conflict(
                f"volume {name} of pool {pool.id} is {volume.format}, which keeps no snapshots; move it to a qcow2 volume or "
                "to a ZFS pool",
                volume=name,
            )
        if await self._files.run(is_base, volume.path):
            raise base_never_changes(pool.id, name)
        return volume
