"""Pools that are an iSCSI target: its LUNs are the volumes. They are found, not made: who keeps the target makes them.

libvirt logs in and out. A LUN `unit:0:0:3` of libvirt's is our volume `lun-3`; its device is the link that names portal,
target and LUN, which is the same one after every login.
"""

import re
from typing import NoReturn

import libvirt

from agent.storage.driver import Progress
from agent.storage.libvirt_pools import LibvirtPools, active_pool
from horcrux.errors import HorcruxError, HostLacks, NotFound
from horcrux.ids import NodeId
from horcrux.storage.pool import PoolDocument, PoolSeen
from horcrux.storage.pool_xml import VolumeXml, read_volume
from horcrux.storage.refusals import no_volume
from horcrux.storage.volume import AS_THE_POOL, Volume, VolumeKind, VolumeOptions

_UNIT = re.compile(r"unit:(\d+):(\d+):(\d+)\Z")
_DEVICES = "/dev/disk/by-path"


class IscsiPoolDriver:
    def __init__(self, uri: str, node_id: NodeId) -> None:
        self._pools = LibvirtPools(uri, node_id, "libvirt-iscsi")

    async def close(self) -> None:
        await self._pools.close()

    async def open(self, pool: PoolDocument) -> None:
        await self._pools.open(pool, _DEVICES)

    async def remove(self, pool: PoolDocument) -> None:
        await self._pools.remove(pool)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        """A target has no room of its own: what its LUNs have is its size."""
        try:
            found = await self._pools.call(pool, list_volumes)
        except HorcruxError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=str(err))
        total_bytes = sum(volume.capacity_bytes for volume in found)
        return PoolSeen(id=pool.id, is_active=True, total_bytes=total_bytes, available_bytes=None)

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        found = await self._pools.call(pool, list_volumes, is_fresh=True)
        return sorted((_as_volume(pool, volume) for volume in found), key=lambda v: v.name)

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
        _refuse(pool, "made")

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        _refuse(pool, "made")

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        await self.find_volume(pool, name)
        _refuse(pool, "resized")

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        try:
            await self.find_volume(pool, name)
        except NotFound:
            return
        _refuse(pool, "deleted")


def _refuse(pool: PoolDocument, act: str) -> NoReturn:
    raise HostLacks(
        f"LUNs of pool {pool.id} are {act} on the iSCSI target {pool.target}, not from here; they appear in the list of its "
        "volumes as soon as the target has them",
        pool=pool.id,
    )


def _as_volume(pool: PoolDocument, found: VolumeXml) -> Volume:
    unit = _UNIT.match(found.name)
    bus, target, lun = unit.groups() if unit else ("0", "0", found.name.replace(":", "-"))
    return Volume(
        pool=pool.id,
        name=f"lun-{lun}" if (bus, target) == ("0", "0") else f"lun-{bus}-{target}-{lun}",
        format="raw",
        capacity_bytes=found.capacity_bytes,
        allocation_bytes=found.allocation_bytes,
        path=found.path,
        kind=VolumeKind.BLOCK,
    )


def list_volumes(connection: libvirt.virConnect, name: str, *, is_fresh: bool = False) -> list[VolumeXml]:
    """Of a pool that is no folder; `is_fresh`: the storage is asked anew."""
    pool = active_pool(connection, name)
    if is_fresh:
        pool.refresh(0)
    return [read_volume(volume.XMLDesc(0)) for volume in pool.listAllVolumes(0)]
