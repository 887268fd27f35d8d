"""Volumes as moving and growing disks needs them (`agent.compute.disk_ports.DiskVolumes`)."""

from collections.abc import Callable, Sequence

from agent.storage.service import StorageService
from horcrux.errors import Unavailable
from horcrux.ids import PoolId
from horcrux.storage.volume import Volume, VolumeUse


class DiskVolumes:
    def __init__(self, storage: StorageService) -> None:
        self._storage = storage

    def format_for(self, pool_id: PoolId, wanted: str | None, now: str) -> str:
        pool = self._storage.pools.find(pool_id)
        formats = pool.driver.formats(pool.document)
        return self._storage.volumes.format_in(pool_id, wanted) or (now if now in formats else formats[0])

    async def exists(self, pool_id: PoolId, name: str) -> bool:
        return await self._storage.has_volume(pool_id, name)

    async def find(self, pool_id: PoolId, name: str) -> Volume:
        return await self._storage.find_disk(pool_id, name)

    def use_of(self, pool_id: PoolId, name: str) -> VolumeUse | None:
        return self._storage.use_of(pool_id, name)

    async def available_bytes(self, pool_id: PoolId) -> int | None:
        pool = self._storage.pools.find(pool_id)
        seen = await pool.driver.look(pool.document)
        if not seen.is_active:
            raise Unavailable(f"pool {pool_id} cannot be reached: {seen.reason}", pool=pool_id)
        return seen.available_bytes

    async def reserve(
        self, user: str, wanted: Sequence[tuple[PoolId, str, int]], leaving: Sequence[tuple[PoolId, str]] = ()
    ) -> None:
        await self._storage.reserve(user, wanted, leaving)

    async def settle(self, volume: Volume) -> None:
        await self._storage.quotas.settle(volume)

    async def make(self, pool_id: PoolId, name: str, capacity_bytes: int, format_: str) -> Volume:
        return await self._storage.volumes.make(pool_id, name, capacity_bytes, None, _untold, format_)

    async def copy(
        self, source: tuple[PoolId, str], to: tuple[PoolId, str], format_: str, progress: Callable[[float], None]
    ) -> Volume:
        return await self._storage.copies.copy(source, *to, progress, format_)

    async def grow(self, pool_id: PoolId, name: str, capacity_bytes: int) -> Volume:
        return await self._storage.volumes.grow(pool_id, name, capacity_bytes)

    async def remove(self, pool_id: PoolId, name: str) -> None:
        await self._storage.delete_disk(pool_id, name)


def _untold(_fraction: float) -> None:
    """An empty volume is there at once."""
