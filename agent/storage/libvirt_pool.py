"""Pools that are folders of qcow2 and raw files: `dir`, and `nfs`, which libvirt mounts below the state folder.

Volumes are files that `volume_folder` reads and `qemu-img` makes: libvirt's calls for them know no overlays, snapshots and
renames, and look into a raw disk for a format, which is the guest's to write. What is not whole yet ends in `.part`.
"""

import asyncio
import os
from pathlib import Path

from agent.blocking import BlockingPool
from agent.durable import disk_errors, publish, sync_folder
from agent.host.reach import open_way
from agent.storage.copying import check_source
from agent.storage.driver import Progress, VolumeClones, VolumeSnapshots
from agent.storage.libvirt_pools import LibvirtPools
from agent.storage.ports import LetIn
from agent.storage.qcow2_clones import Qcow2Clones
from agent.storage.qcow2_snapshots import Qcow2Snapshots
from agent.storage.qemu_img import QemuImg
from agent.storage.volume_folder import check_free, find_in_folder, is_base, list_folder
from horcrux.errors import (
    HorcruxError,
    Unavailable,
)
from horcrux.ids import NodeId
from horcrux.storage.pool import PoolDocument, PoolSeen, PoolType
from horcrux.storage.refusals import base_never_changes, check_grows, check_no_options
from horcrux.storage.volume import (
    AS_THE_POOL,
    PART,
    VOLUME_FORMATS,
    Volume,
    VolumeOptions,
    parse_volume_file,
    volume_file,
)

_STATE_DIR = Path("/var/lib/horcrux")


class LibvirtPoolDriver:
    """Make one for each type: a server that does not answer holds up the threads of its own type only."""

    def __init__(
        self, uri: str, node_id: NodeId, *, state_dir: Path | None = None, let_qemu_in: LetIn = open_way
    ) -> None:
        """`state_dir` is held by this agent alone, so what libvirt keeps below it under another node's id is left over."""
        self._state_dir = state_dir
        self._let_qemu_in = let_qemu_in
        self._pools = LibvirtPools(uri, node_id, "libvirt-storage")
        self._files = BlockingPool("storage-copy", 2)
        self._qemu = QemuImg(self._files)
        self._filling: set[Path] = set()
        self._snapshots = Qcow2Snapshots(self.find_volume, self._files, self._qemu)
        self._clones = Qcow2Clones(self.find_volume, self._folder, self._files, self._make)

    async def close(self) -> None:
        """The connection and the threads are gone. Calls under way end first."""
        await self._pools.close()
        await asyncio.to_thread(self._files.close)

    async def open(self, pool: PoolDocument) -> None:
        folder = self._folder(pool)
        await self._files.run(self._prepare_folder, Path(folder), is_shared=pool.storage_type is PoolType.NFS)
        if self._state_dir is not None and Path(folder).is_relative_to(self._state_dir):
            await self._pools.remove_leftover(pool, folder)
        await self._pools.open(pool, folder)

    async def remove(self, pool: PoolDocument) -> None:
        await self._pools.remove(pool)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        folder = self._folder(pool)
        try:
            stat = await self._files.run(os.statvfs, await self._usable(pool))
        except HorcruxError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=str(err))
        except OSError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=f"{folder}: {os.strerror(err.errno or 0)}")
        return PoolSeen(
            id=pool.id,
            is_active=True,
            total_bytes=stat.f_blocks * stat.f_frsize,
            available_bytes=stat.f_bavail * stat.f_frsize,
        )

    def snapshots(self, pool: PoolDocument) -> VolumeSnapshots | None:
        return self._snapshots

    def clones(self, pool: PoolDocument) -> VolumeClones | None:
        return self._clones

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        return await self._files.run(list_folder, pool.id, await self._usable(pool))

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        return await self._files.run(find_in_folder, pool.id, await self._usable(pool), name)

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        return VOLUME_FORMATS

    def image_folder(self, pool: PoolDocument) -> str | None:
        return f"{self._folder(pool)}/images"

    async def create_volume(
        self,
        pool: PoolDocument,
        name: str,
        capacity_bytes: int,
        format_: str,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        check_no_options(pool, options)
        folder = await self._usable(pool)
        await self._files.run(check_free, pool.id, folder, name)
        await self._make(Path(folder, volume_file(name, format_)), format_, capacity_bytes)
        return await self.find_volume(pool, name)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        folder = await self._usable(pool)
        await self._files.run(check_free, pool.id, folder, name)
        await self._files.run(check_source, name, source)
        final = Path(folder, volume_file(name, format_))
        part = final.with_name(final.name + PART)
        self._filling.add(part)
        try:
            await self._files.run(part.unlink, missing_ok=True)
            await self._qemu.convert((source, source_format), (str(part), format_), progress)
            await self._files.run(_publish, part, final)
        finally:
            self._filling.discard(part)
            await self._files.run(part.unlink, missing_ok=True)
        return await self.find_volume(pool, name)

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        volume = await self.find_volume(pool, name)
        check_grows(pool.id, name, volume.capacity_bytes, capacity_bytes)
        if await self._files.run(is_base, volume.path):
            raise base_never_changes(pool.id, name)
        if capacity_bytes > volume.capacity_bytes:
            await self._qemu.resize(volume.path, volume.format, capacity_bytes)
        return await self.find_volume(pool, name)

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        folder = await self._usable(pool)
        async with self._clones.held(pool, name):
            await self._files.run(_unlink, folder, name)

    async def _make(
        self, final: Path, format_: str, capacity_bytes: int, backing: tuple[str, str] | None = None
    ) -> None:
        part = final.with_name(final.name + PART)
        self._filling.add(part)
        try:
            await self._qemu.create(part, format_, capacity_bytes, backing)
            await self._files.run(_publish, part, final)
        finally:
            self._filling.discard(part)
            await self._files.run(part.unlink, missing_ok=True)

    def _folder(self, pool: PoolDocument) -> str:
        """Where its files are while it is open."""
        if pool.storage_type is PoolType.NFS:
            return str((self._state_dir or _STATE_DIR) / "mounts" / pool.id)
        return pool.target

    async def _usable(self, pool: PoolDocument) -> str:
        """Its folder; Unavailable when it is not active, or not mounted: what is below the mount is not the pool."""
        folder = self._folder(pool)
        await self._pools.check_active(pool)
        if pool.storage_type is PoolType.NFS and not await self._files.run(os.path.ismount, folder):
            raise Unavailable(f"{pool.target} is not mounted on {folder}: it was unmounted from outside", pool=pool.id)
        return folder

    def _prepare_folder(self, target: Path, *, is_shared: bool) -> None:
        """The folder is there, with nothing half made in it; on a server that others use too, that may be theirs."""
        with disk_errors(f"folder {target} cannot be used"):
            target.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._let_qemu_in(target / "volume")
            for part in () if is_shared else target.glob("*" + PART):
                is_ours = parse_volume_file(part.name.removesuffix(PART)) is not None
                if is_ours and part not in self._filling:
                    part.unlink(missing_ok=True)


def _unlink(folder: str, name: str) -> None:
    """Every file of the volume is gone for good, and what was half written of it."""
    with disk_errors(f"volume {name} could not be deleted"):
        for format_ in VOLUME_FORMATS:
            file = volume_file(name, format_)
            Path(folder, file + PART).unlink(missing_ok=True)
            Path(folder, file).unlink(missing_ok=True)
        sync_folder(Path(folder))


def _publish(part: Path, final: Path) -> None:
    with disk_errors(f"{final.name} could not be written to the disk"):
        publish(part, final)
