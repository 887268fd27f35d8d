"""A storage driver that lives in memory: for the fast tests, and for trying the agent on a host without libvirt.

The conformance suite holds it to what the real drivers do: to a folder of qcow2 and raw files, or to ZFS. Only `fill_volume`
looks at the disk: at the file it copies from.
"""

import asyncio
from pathlib import Path

import msgspec

from agent.storage.driver import Progress
from agent.storage.fake_clones import FakeClones
from agent.storage.fake_snapshots import FakeSnapshots
from horcrux.errors import NoSpace, NotFound, Unavailable
from horcrux.ids import PoolId
from horcrux.storage.image_check import HEAD_BYTES, sniff
from horcrux.storage.pool import FoundPool, PoolDocument, PoolSeen
from horcrux.storage.refusals import check_grows, check_no_options, no_volume, volume_taken
from horcrux.storage.volume import AS_THE_POOL, VOLUME_FORMATS, Volume, VolumeKind, VolumeOptions, volume_file
from horcrux.units import GIB


class FakeStorageDriver:
    """`total_bytes` is what each pool has; thin volumes take nothing, filled ones what their source takes. `is_like_zfs`: its
    volumes are raw devices, its snapshots live, and a revert takes the newest snapshot only."""

    def __init__(self, total_bytes: int = 100 * GIB, *, is_like_zfs: bool = False) -> None:
        self._total_bytes = total_bytes
        self._formats = ("raw",) if is_like_zfs else VOLUME_FORMATS
        self._kind = VolumeKind.BLOCK if is_like_zfs else VolumeKind.FILE
        self._snapshots = FakeSnapshots(self._volumes, is_like_zfs=is_like_zfs)
        self._clones = FakeClones(self._volumes, self._snapshots)
        self._kept: dict[PoolId, dict[str, Volume]] = {}
        self._active: set[PoolId] = set()
        self.undeletable: set[str] = set()
        """Volumes whose deletion fails, as on a disk that refuses."""
        self.on_host: list[FoundPool] = []

    def stop_pool(self, pool: PoolId) -> None:
        """As when somebody stops the pool from outside."""
        self._active.discard(pool)

    async def close(self) -> None:
        self._active.clear()

    async def open(self, pool: PoolDocument) -> None:
        self._kept.setdefault(pool.id, {})
        self._active.add(pool.id)

    async def remove(self, pool: PoolDocument) -> None:
        self._active.discard(pool.id)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        if pool.id not in self._active:
            return PoolSeen(id=pool.id, is_active=False, reason=f"pool {pool.id} is not active")
        return PoolSeen(
            id=pool.id, is_active=True, total_bytes=self._total_bytes, available_bytes=self._available_bytes(pool.id)
        )

    async def found_pools(self) -> list[FoundPool]:
        return sorted(self.on_host, key=lambda found: found.target)

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        return sorted(self._volumes(pool).values(), key=lambda v: v.name)

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        volume = self._volumes(pool).get(name)
        if volume is None:
            raise no_volume(pool.id, name)
        return volume

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        return self._formats

    def snapshots(self, pool: PoolDocument) -> FakeSnapshots:
        return self._snapshots

    def clones(self, pool: PoolDocument) -> FakeClones:
        return self._clones

    def image_folder(self, pool: PoolDocument) -> str | None:
        return f"{pool.target}/images"

    async def create_volume(
        self,
        pool: PoolDocument,
        name: str,
        capacity_bytes: int,
        format_: str,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        check_no_options(pool, options)
        self._check_free(pool, name)
        return self._keep(pool, name, capacity_bytes, format_, 0)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        self._check_free(pool, name)
        found = self._volume_at(source)
        virtual_bytes, size_bytes = await asyncio.to_thread(_look_at, source) if found is None else found
        if size_bytes > self._available_bytes(pool.id):
            raise NoSpace(f"pool {pool.id} is full")
        progress(1.0)
        self._check_free(pool, name)
        return self._keep(pool, name, -(-virtual_bytes // 512) * 512, format_, size_bytes)

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        volume = await self.find_volume(pool, name)
        self._clones.check_changeable(pool, name)
        check_grows(pool.id, name, volume.capacity_bytes, capacity_bytes)
        grown = msgspec.structs.replace(volume, capacity_bytes=capacity_bytes)
        self._volumes(pool)[name] = grown
        return grown

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        if name in self.undeletable:
            raise Unavailable(f"volume {name} of pool {pool.id} cannot be deleted", pool=pool.id, volume=name)
        self._clones.refuse_clones(pool, name)
        self._volumes(pool).pop(name, None)
        self._clones.forget(pool, name)
        self._snapshots.forget(pool, name)

    def _volumes(self, pool: PoolDocument) -> dict[str, Volume]:
        if pool.id not in self._active:
            raise Unavailable(f"pool {pool.id} is not active", pool=pool.id)
        return self._kept[pool.id]

    def grow_at(self, path: str, capacity_bytes: int) -> None:
        """A guest's process has made the file at that path larger."""
        for kept in self._kept.values():
            for volume in list(kept.values()):
                if volume.path == path:
                    kept[volume.name] = msgspec.structs.replace(volume, capacity_bytes=capacity_bytes)

    def _volume_at(self, path: str) -> tuple[int, int] | None:
        """What a guest sees of the volume of that path, and what it takes; None when it is none of ours."""
        volumes = (volume for kept in self._kept.values() for volume in kept.values())
        return next(((v.capacity_bytes, v.allocation_bytes) for v in volumes if v.path == path), None)

    def _available_bytes(self, pool: PoolId) -> int:
        return self._total_bytes - sum(v.allocation_bytes for v in self._kept[pool].values())

    def _check_free(self, pool: PoolDocument, name: str) -> None:
        if name in self._volumes(pool):
            raise volume_taken(pool.id, name)

    def _keep(self, pool: PoolDocument, name: str, capacity_bytes: int, format_: str, allocation_bytes: int) -> Volume:
        is_device = self._kind is VolumeKind.BLOCK
        volume = Volume(
            pool=pool.id,
            name=name,
            format=format_,
            capacity_bytes=capacity_bytes,
            allocation_bytes=allocation_bytes,
            path=f"/dev/zvol/{pool.target}/{name}" if is_device else f"{pool.target}/{volume_file(name, format_)}",
            kind=self._kind,
        )
        self._volumes(pool)[name] = volume
        return volume


def _look_at(source: str) -> tuple[int, int]:
    """What a guest sees of the file, and the bytes it takes on the disk."""
    try:
        with Path(source).open("rb") as file:
            head = file.read(HEAD_BYTES)
        stat = Path(source).stat()
    except FileNotFoundError as err:
        raise NotFound(f"the file to copy from is not there: {source}") from err
    return sniff(head, stat.st_size).virtual_size_bytes, stat.st_blocks * 512
