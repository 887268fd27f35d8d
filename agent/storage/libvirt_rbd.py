"""Pools of Ceph's RBD: images that QEMU opens over the network, made and deleted by libvirt's rbd backend.

The key lies in a file that `key_file` names. libvirt keeps it as a secret for guests; `qemu-img` reads the file itself, so it is
in no command line. What a Ceph pool holds is all taken for ours: give us a pool of our own.
"""

import asyncio
import contextlib

import libvirt

from agent.blocking import BlockingPool
from agent.storage.copying import content_bytes
from agent.storage.driver import Progress
from agent.storage.libvirt_iscsi import list_volumes
from agent.storage.libvirt_pools import LibvirtPools, active_pool
from agent.storage.qemu_img import QemuImg
from horcrux.errors import HorcruxError, NotFound
from horcrux.ids import NodeId
from horcrux.storage.network_source import NetworkSource
from horcrux.storage.pool import PoolDocument, PoolSeen
from horcrux.storage.pool_xml import VolumeXml, image_xml, secret_id
from horcrux.storage.refusals import check_grows, check_no_options, no_volume, volume_taken
from horcrux.storage.volume import AS_THE_POOL, Volume, VolumeKind, VolumeOptions, is_volume_name


class RbdPoolDriver:
    def __init__(self, uri: str, node_id: NodeId) -> None:
        self._pools = LibvirtPools(uri, node_id, "libvirt-rbd")
        self._files = BlockingPool("rbd-copy", 2)
        self._qemu = QemuImg(self._files)

    async def close(self) -> None:
        await self._pools.close()
        await asyncio.to_thread(self._files.close)

    async def open(self, pool: PoolDocument) -> None:
        await self._pools.open(pool, "")

    async def remove(self, pool: PoolDocument) -> None:
        await self._pools.remove(pool)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        try:
            total_bytes, available_bytes = await self._pools.call(pool, _sizes)
        except HorcruxError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=str(err))
        return PoolSeen(id=pool.id, is_active=True, total_bytes=total_bytes, available_bytes=available_bytes)

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        found = await self._pools.call(pool, list_volumes, is_fresh=True)
        volumes = (self._as_volume(pool, image) for image in found if is_volume_name(image.name))
        return sorted(volumes, key=lambda v: v.name)

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        for volume in await self.list_volumes(pool):
            if volume.name == name:
                return volume
        raise no_volume(pool.id, name)

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        return ("raw",)

    def image_folder(self, pool: PoolDocument) -> str | None:
        return None

    async def create_volume(
        self,
        pool: PoolDocument,
        name: str,
        capacity_bytes: int,
        format_: str,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        check_no_options(pool, options)
        await self._check_free(pool, name)
        await self._pools.call(pool, _create, image_xml(name, capacity_bytes))
        return await self.find_volume(pool, name)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        """Cut off, it leaves an image of that name, which `delete_volume` removes."""
        await self._check_free(pool, name)
        size_bytes = await self._files.run(content_bytes, name, source, source_format)
        await self._pools.call(pool, _create, image_xml(name, size_bytes))
        target = (rbd_path(pool, name), "raw")
        await self._qemu.convert((source, source_format), target, progress, is_blank_device=True)
        return await self.find_volume(pool, name)

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        volume = await self.find_volume(pool, name)
        check_grows(pool.id, name, volume.capacity_bytes, capacity_bytes)
        if capacity_bytes > volume.capacity_bytes:
            await self._pools.call(pool, _resize, name, capacity_bytes)
        return await self.find_volume(pool, name)

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        with contextlib.suppress(NotFound):
            await self._pools.call(pool, _delete, name)

    async def _check_free(self, pool: PoolDocument, name: str) -> None:
        if any(volume.name == name for volume in await self.list_volumes(pool)):
            raise volume_taken(pool.id, name)

    def _as_volume(self, pool: PoolDocument, image: VolumeXml) -> Volume:
        user = pool.options.get("user")
        return Volume(
            pool=pool.id,
            name=image.name,
            format="raw",
            capacity_bytes=image.capacity_bytes,
            allocation_bytes=image.allocation_bytes,
            path=rbd_path(pool, image.name),
            kind=VolumeKind.NETWORK,
            network=NetworkSource(
                hosts=tuple(pool.options["monitors"].split(",")),
                user=user,
                secret=secret_id(self._pools.name_of(pool)) if user else None,
            ),
        )


def rbd_path(pool: PoolDocument, name: str) -> str:
    """As QEMU's rbd driver takes it (block/rbd.c): `rbd:pool/image:key=value…`, with `:` and `;` in values escaped."""
    monitors = pool.options["monitors"].replace(",", ";")
    account = {"id": pool.options["user"], "keyfile": pool.options["key_file"]} if "user" in pool.options else {}
    words = {**account, "mon_host": monitors}
    return f"rbd:{pool.target}/{name}" + "".join(f":{key}={_escaped(value)}" for key, value in words.items())


def _escaped(value: str) -> str:
    for character in "\\:;=@":
        value = value.replace(character, "\\" + character)
    return value


def _sizes(connection: libvirt.virConnect, name: str) -> tuple[int, int]:
    _, capacity, _, available = active_pool(connection, name).info()
    return capacity, available


def _create(connection: libvirt.virConnect, name: str, xml: str) -> None:
    active_pool(connection, name).createXML(xml, 0)


def _resize(connection: libvirt.virConnect, name: str, image: str, capacity_bytes: int) -> None:
    active_pool(connection, name).storageVolLookupByName(image).resize(capacity_bytes, 0)


def _delete(connection: libvirt.virConnect, name: str, image: str) -> None:
    active_pool(connection, name).storageVolLookupByName(image).delete(libvirt.VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS)
