"""Pools on ZFS (2.1 and newer): volumes are zvols, snapshots and linked clones ZFS's own.

    zfs_library   pyzfs, the one edge          zfs_link       its threads, times and commands
    zfs_programs  what is asked in one call    zfs_health     how the zpools are
    zfs_pool      datasets, keys, mounts       zfs_volumes    zfs_snapshots    zfs_clones    zfs_device
    zfs_births    volumes that are being made when the power goes
    zfs_stream    send and receive, for replication and backup

A host without ZFS may have this driver: opening a pool then says what is missing.
"""

import asyncio
from pathlib import Path

from agent.blocking import BlockingPool
from agent.host.reach import open_way
from agent.storage.driver import Progress
from agent.storage.ports import LetIn
from agent.storage.qemu_img import QemuImg
from agent.storage.zfs_clones import ZfsClones
from agent.storage.zfs_health import ZpoolHealth
from agent.storage.zfs_link import ZfsLink
from agent.storage.zfs_pool import ZfsPools
from agent.storage.zfs_snapshots import ZfsSnapshots
from agent.storage.zfs_stream import ZfsStreams
from agent.storage.zfs_volumes import RAW, ZfsVolumes
from horcrux.ids import NodeId
from horcrux.storage.pool import FoundPool, PoolDocument, PoolSeen
from horcrux.storage.volume import AS_THE_POOL, Volume, VolumeOptions
from horcrux.storage.zfs import IMAGES


class ZfsDriver:
    """`streams` is for replication and backup; `mounts` where the pools' file systems are mounted."""

    def __init__(
        self, node_id: NodeId, *, mounts: Path, let_qemu_in: LetIn = open_way, link: ZfsLink | None = None
    ) -> None:
        self._link = link or ZfsLink()
        self._files = BlockingPool("zfs-copy", 2)
        self._health = ZpoolHealth(self._link)
        self._pools = ZfsPools(self._link, self._health, node_id, mounts, let_qemu_in)
        self._volumes = ZfsVolumes(self._link, self._pools, node_id, QemuImg(self._files))
        self._snapshots = ZfsSnapshots(self._link, self._volumes)
        self._clones = ZfsClones(self._link, self._pools, self._volumes)
        self.streams = ZfsStreams(self._link)

    async def close(self) -> None:
        """Its threads are gone. Calls under way end first, but for those that hang in a suspended zpool."""
        await self.streams.close()
        await self._link.close()
        await asyncio.to_thread(self._files.close)

    async def open(self, pool: PoolDocument) -> None:
        await self._pools.open(pool)
        await self._volumes.clear_leftovers(pool)

    async def remove(self, pool: PoolDocument) -> None:
        await self._pools.remove(pool)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        return await self._pools.look(pool)

    async def found_pools(self) -> list[FoundPool]:
        return await self._health.found_pools()

    async def backup_folder(self, pool: PoolDocument) -> Path:
        """Where its backups lie: a file system of its own, made when it was not there, which only root may enter."""
        return await self._pools.backup_folder(pool)

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        return await self._volumes.all(pool)

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        return await self._volumes.find(pool, name)

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        return (RAW,)

    def image_folder(self, pool: PoolDocument) -> str | None:
        return str(self._pools.folder(pool, IMAGES))

    async def create_volume(
        self,
        pool: PoolDocument,
        name: str,
        capacity_bytes: int,
        format_: str,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        return await self._volumes.create(pool, name, capacity_bytes, format_, options)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        return await self._volumes.fill(pool, name, (source, source_format), format_, progress)

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        return await self._volumes.resize(pool, name, capacity_bytes)

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        await self._volumes.delete(pool, name)

    def snapshots(self, pool: PoolDocument) -> ZfsSnapshots:
        return self._snapshots

    def clones(self, pool: PoolDocument) -> ZfsClones:
        return self._clones
