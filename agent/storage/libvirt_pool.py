"""Pools that libvirt keeps: today `dir`, a folder of qcow2 and raw files.

Only pools named `hx-<our node>-<pool>` are touched. libvirt starts none of them by itself: the agent opens what its documents
name. Volumes are files that `volume_folder` reads and `qemu-img` makes: libvirt's calls for them know no overlays, snapshots and
renames, and look into a raw disk for a format, which is the guest's to write. What is not whole yet ends in `.part`.
"""

import asyncio
import errno
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import libvirt

from agent.blocking import BlockingPool
from agent.durable import disk_errors, publish, sync_folder
from agent.host.libvirt_link import LibvirtLink
from agent.host.reach import open_way
from agent.storage.driver import Progress, VolumeClones, VolumeSnapshots
from agent.storage.ports import LetIn
from agent.storage.qcow2_clones import Qcow2Clones
from agent.storage.qcow2_snapshots import Qcow2Snapshots
from agent.storage.qemu_img import QemuImg
from agent.storage.volume_folder import check_free, find_in_folder, is_base, list_folder
from horcrux.errors import (
    AlreadyExists,
    Conflict,
    HorcruxError,
    HostLacks,
    NoSpace,
    NotFound,
    Unavailable,
    Unreachable,
    invalid_field,
)
from horcrux.ids import NodeId
from horcrux.storage.pool import PoolDocument, PoolSeen
from horcrux.storage.pool_xml import dir_pool_xml, pool_target
from horcrux.storage.volume import (
    AS_THE_POOL,
    PART,
    VOLUME_FORMATS,
    Volume,
    VolumeOptions,
    parse_volume_file,
    volume_file,
)

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_NODE_POOL = re.compile(r"hx-n[0-9a-f]{8}-")


class LibvirtPoolDriver:
    """One thread asks libvirt, one call after the other: it refuses to refresh a pool while a volume of it is being made."""

    def __init__(
        self, uri: str, node_id: NodeId, *, state_dir: Path | None = None, let_qemu_in: LetIn = open_way
    ) -> None:
        """`state_dir` is held by this agent alone, so what libvirt keeps below it under another node's id is left over."""
        self._node = node_id
        self._state_dir = state_dir
        self._let_qemu_in = let_qemu_in
        self._link = LibvirtLink(uri, _translated, name="libvirt-storage")
        self._files = BlockingPool("storage-copy", 2)
        self._qemu = QemuImg(self._files)
        self._filling: set[Path] = set()
        self._snapshots = Qcow2Snapshots(self.find_volume, self._files, self._qemu)
        self._clones = Qcow2Clones(self.find_volume, lambda pool: pool.target, self._files, self._make)

    async def close(self) -> None:
        """The connection and the threads are gone. Calls under way end first."""
        await self._link.close()
        await asyncio.to_thread(self._files.close)

    async def open(self, pool: PoolDocument) -> None:
        await self._files.run(self._prepare_folder, Path(pool.target))
        if self._state_dir is not None and Path(pool.target).is_relative_to(self._state_dir):
            await self._call(pool, _remove_leftover, pool.target)
        await self._call(pool, _open_pool, pool.target)

    async def remove(self, pool: PoolDocument) -> None:
        await self._call(pool, _remove_pool)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        try:
            await self._call(pool, _active_pool)
            stat = await self._files.run(os.statvfs, pool.target)
        except HorcruxError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=str(err))
        except OSError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=f"{pool.target}: {os.strerror(err.errno or 0)}")
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
        await self._call(pool, _active_pool)
        return await self._files.run(list_folder, pool.id, pool.target)

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        await self._call(pool, _active_pool)
        return await self._files.run(find_in_folder, pool.id, pool.target, name)

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        return VOLUME_FORMATS

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
        if options != AS_THE_POOL:
            raise invalid_field("options", f"pool {pool.id} ({pool.storage_type}) has no options for its volumes")
        await self._files.run(check_free, pool.id, pool.target, name)
        await self._call(pool, _active_pool)
        await self._make(Path(pool.target, volume_file(name, format_)), format_, capacity_bytes)
        return await self.find_volume(pool, name)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        await self._files.run(check_free, pool.id, pool.target, name)
        await self._call(pool, _active_pool)
        if not await self._files.run(os.path.exists, source):
            raise NotFound(f"the file to copy volume {name} from is not there: {source}")
        final = Path(pool.target, volume_file(name, format_))
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
        if capacity_bytes < volume.capacity_bytes:
            raise Conflict(
                f"volume {name} of pool {pool.id} has {volume.capacity_bytes} bytes already, and volumes never shrink",
                capacity_bytes=volume.capacity_bytes,
            )
        if await self._files.run(is_base, volume.path):
            raise Conflict(f"volume {name} of pool {pool.id} is a base of linked clones and never changes", volume=name)
        if capacity_bytes > volume.capacity_bytes:
            await self._qemu.resize(volume.path, volume.format, capacity_bytes)
        return await self.find_volume(pool, name)

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        await self._call(pool, _active_pool)
        async with self._clones.held(pool, name):
            await self._files.run(_unlink, pool.target, name)

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

    async def _call(
        self,
        pool: PoolDocument,
        fn: Callable[Concatenate[libvirt.virConnect, str, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Result of `fn(connection, libvirt's name for the pool, …)` on libvirt's thread; its errors as ours."""
        return await self._link.call(pool.id, fn, f"hx-{self._node}-{pool.id}", *args, **kwargs)

    def _prepare_folder(self, target: Path) -> None:
        with disk_errors(f"folder {target} cannot be used"):
            target.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._let_qemu_in(target / "volume")
            for part in target.glob("*" + PART):
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


def _find_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool | None:
    try:
        return connection.storagePoolLookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
            return None
        raise


def _active_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    pool = _find_pool(connection, name)
    if pool is None:
        raise Unavailable(f"libvirt does not know pool {name}; it is defined again when the agent opens it", pool=name)
    if not pool.isActive():
        raise Unavailable(f"libvirt's pool {name} is not active: it was stopped from outside", pool=name)
    return pool


def _open_pool(connection: libvirt.virConnect, name: str, target: str) -> None:
    pool = _find_pool(connection, name)
    if pool is not None and pool_target(pool.XMLDesc(0)) != target:
        _remove_pool(connection, name)
        pool = None
    if pool is None:
        pool = connection.storagePoolDefineXML(dir_pool_xml(name, target), 0)
    if pool.autostart():
        pool.setAutostart(0)
    if not pool.isActive():
        pool.create(0)


def _remove_leftover(connection: libvirt.virConnect, name: str, target: str) -> None:
    """libvirt no longer knows, on this folder, the pool of a node whose state folder was ours and has been deleted: it
    allows one pool a folder. Its files stay."""
    for other in connection.listAllStoragePools(0):
        if other.name() != name and _NODE_POOL.match(other.name()) and pool_target(other.XMLDesc(0)) == target:
            log.warning("pool %s of libvirt is left over from an earlier node on %s: undefined", other.name(), target)
            _remove_pool(connection, other.name())


def _remove_pool(connection: libvirt.virConnect, name: str) -> None:
    pool = _find_pool(connection, name)
    if pool is None:
        return
    if pool.isActive():
        pool.destroy()
    if pool.isPersistent():
        pool.undefine()


def _translated(err: libvirt.libvirtError, pool: str) -> HorcruxError:
    """libvirt's error as one of ours (libvirt.org/html/libvirt-virterror.html)."""
    words = f"pool {pool}: {err.get_error_message() or err}"
    if os.strerror(errno.ENOSPC) in words or os.strerror(errno.EDQUOT) in words:
        return NoSpace(f"the pool is full: {words}")
    if "Storage source conflict" in words:
        return Conflict(f"another pool of libvirt has that folder already: {words}")
    match err.get_error_code():
        case libvirt.VIR_ERR_NO_STORAGE_VOL:
            return NotFound(words)
        case libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            return AlreadyExists(words)
        case libvirt.VIR_ERR_NO_STORAGE_POOL | libvirt.VIR_ERR_OPERATION_INVALID:
            return Unavailable(words)
        case libvirt.VIR_ERR_NO_SUPPORT | libvirt.VIR_ERR_CONFIG_UNSUPPORTED:
            return HostLacks(f"this host's libvirt cannot do that: {words}")
        case _:
            return Unreachable(f"libvirt: {words}")
