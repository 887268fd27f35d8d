"""Pools that libvirt keeps: today `dir`, a folder of qcow2 and raw files.

Only pools named `hx-<our node>-<pool>` are touched. libvirt starts none of them by itself: the agent opens what its documents
name. A volume `disk0` is the file `disk0.qcow2` or `disk0.raw`; what a file holds is told by its name, never by its content,
which is the guest's (a raw disk may begin like a qcow2 file that names `/etc/shadow`). What is not whole yet ends in `.part`.
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
from agent.durable import disk_errors, publish
from agent.host.libvirt_link import LibvirtLink
from agent.host.reach import open_way
from agent.storage.driver import Progress
from agent.storage.ports import LetIn
from agent.storage.qemu_img import QemuImg
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
from horcrux.storage.pool_xml import VolumeXml, dir_pool_xml, pool_target, read_volume, volume_xml
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

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        found = (_as_volume(pool, xml) for xml in await self._call(pool, _list_files, pool.target))
        return sorted((v for v in found if v is not None), key=lambda v: v.name)

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        for file in _files_of(name):
            xml = await self._call(pool, _describe, pool.target, file)
            volume = None if xml is None else _as_volume(pool, xml)
            if volume is not None:
                return volume
        raise NotFound(f"pool {pool.id} has no volume {name}", pool=pool.id, volume=name)

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
        await self._files.run(_check_free, pool, name)
        xml = volume_xml(volume_file(name, format_), capacity_bytes, format_)
        await self._call(pool, _create, xml)
        return await self.find_volume(pool, name)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        await self._files.run(_check_free, pool, name)
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
        if volume.format == "raw":
            # libvirt would go by the content, and have qemu-img open a raw disk in which the guest wrote a qcow2 header
            await self._files.run(os.truncate, volume.path, capacity_bytes)
        elif capacity_bytes > volume.capacity_bytes:
            file = volume_file(name, volume.format)
            await self._call(pool, _resize, pool.target, file, capacity_bytes)
        return await self.find_volume(pool, name)

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        for file in _files_of(name):
            await self._files.run(Path(pool.target, file + PART).unlink, missing_ok=True)
            await self._call(pool, _delete, pool.target, file)

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


def _files_of(name: str) -> list[str]:
    return [volume_file(name, format_) for format_ in VOLUME_FORMATS]


def _as_volume(pool: PoolDocument, xml: VolumeXml) -> Volume | None:
    """The volume, None for a file that is none: folders, parts, what others put there."""
    parsed = parse_volume_file(xml.name)
    if parsed is None or not xml.is_file:
        return None
    name, format_ = parsed
    return Volume(
        pool=pool.id,
        name=name,
        format=format_,
        capacity_bytes=xml.physical_bytes if format_ == "raw" else xml.capacity_bytes,
        allocation_bytes=xml.allocation_bytes,
        path=xml.path,
    )


def _check_free(pool: PoolDocument, name: str) -> None:
    for file in _files_of(name):
        if os.path.lexists(os.path.join(pool.target, file)):  # noqa: PTH118 - Path has no lexists before 3.12
            raise AlreadyExists(f"pool {pool.id} has a volume {name} already", pool=pool.id, volume=name)


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


def _list_files(connection: libvirt.virConnect, name: str, target: str) -> list[VolumeXml]:
    """One call for all names, one for each volume: its XML has everything, read from the file anew. libvirt is only asked to
    look through the folder when it does not know what is there (that opens every file)."""
    pool = _active_pool(connection, name)
    with disk_errors(f"folder {target} cannot be read"):
        on_disk = {path.name for path in Path(target).iterdir() if parse_volume_file(path.name) is not None}
    known = pool.listAllVolumes(0)
    if not on_disk <= {volume.name() for volume in known}:
        pool.refresh(0)
        known = pool.listAllVolumes(0)
    found = []
    for volume in known:
        if volume.name() not in on_disk:
            continue
        try:
            found.append(read_volume(volume.XMLDesc(0)))
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL and Path(target, volume.name()).exists():
                raise
    return found


def _find_file(pool: libvirt.virStoragePool, target: str, file: str) -> libvirt.virStorageVol | None:
    """libvirt's volume for a file that is on the disk, also when it came there without libvirt."""
    if not Path(target, file).is_file():
        return None
    for is_refreshed in (False, True):
        if is_refreshed:
            pool.refresh(0)
        try:
            return pool.storageVolLookupByName(file)
        except libvirt.libvirtError as err:
            if err.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_VOL:
                raise
    return None


def _describe(connection: libvirt.virConnect, name: str, target: str, file: str) -> VolumeXml | None:
    volume = _find_file(_active_pool(connection, name), target, file)
    return None if volume is None else read_volume(volume.XMLDesc(0))


def _create(connection: libvirt.virConnect, name: str, xml: str) -> None:
    """libvirt may still know a file that went without it; the caller has found none."""
    pool = _active_pool(connection, name)
    try:
        pool.createXML(xml, 0)
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            raise
        pool.refresh(0)
        pool.createXML(xml, 0)


def _resize(connection: libvirt.virConnect, name: str, target: str, file: str, capacity_bytes: int) -> None:
    volume = _find_file(_active_pool(connection, name), target, file)
    if volume is None:
        raise NotFound(f"pool {name} has no file {file}")
    volume.resize(capacity_bytes, 0)


def _delete(connection: libvirt.virConnect, name: str, target: str, file: str) -> None:
    volume = _find_file(_active_pool(connection, name), target, file)
    if volume is not None:
        volume.delete(0)


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
