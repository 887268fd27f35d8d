"""Volumes made from volumes: bases, linked clones that stand on them, full copies that do not.

Whoever calls has found the new name free and recorded how it is undone, in this order.
"""

from agent.storage.driver import Progress, clones_of, linked_clones
from agent.storage.pools import Pools
from agent.storage.quota import Quotas
from agent.storage.volumes import Volumes
from horcrux.errors import NotFound
from horcrux.ids import PoolId
from horcrux.storage.volume import Volume, check_volume_name


class VolumeCopies:
    def __init__(self, pools: Pools, volumes: Volumes, quotas: Quotas) -> None:
        self._quotas = quotas
        self._pools = pools
        self._volumes = volumes

    def can_link(self, pool_id: str) -> bool:
        """Whether the pool makes linked clones. NotFound."""
        return self._pools.find(pool_id).offers.can_clone

    def check_can_link(self, pool_id: str) -> None:
        """HostLacks, with the way out, for a pool that makes no linked clones; NotFound."""
        pool = self._pools.find(pool_id)
        clones_of(pool.driver, pool.document)

    async def make_base(self, pool_id: PoolId, name: str, base: str) -> Volume:
        """The volume is named `base` from now on, and never written to again. Idempotent. HostLacks."""
        async with self._pools.using(pool_id) as pool:
            volume = await clones_of(pool.driver, pool.document).make_base(
                pool.document, name, check_volume_name(base, "name")
            )
            clones = await linked_clones(pool.driver, pool.document, base)
        await self._quotas.rename(pool_id, name, base)
        self._volumes.tell_gone(pool_id, name)
        await self._volumes.settle(volume, clones)
        return volume

    async def link(self, pool_id: PoolId, base: str, name: str) -> Volume:
        """A new volume that stands on `base`. HostLacks."""
        async with self._pools.using(pool_id) as pool:
            volume = await clones_of(pool.driver, pool.document).clone_volume(
                pool.document, base, check_volume_name(name, "name")
            )
        await self._volumes.settle(volume)
        return volume

    async def copy(
        self,
        source: tuple[PoolId, str],
        pool_id: PoolId,
        name: str,
        progress: Progress,
        format_: str | None = None,
    ) -> Volume:
        """A new volume with the content of `source` (pool, name). Format None: in the same pool the same, elsewhere the one
        that the pool makes by itself. Nobody writes to the source meanwhile. Cancellable."""
        async with self._pools.using(source[0]) as from_pool, self._pools.using(pool_id) as pool:
            begun = await from_pool.driver.find_volume(from_pool.document, source[1])
            formats = pool.driver.formats(pool.document)
            is_kept = source[0] == pool_id and begun.format in formats
            volume = await pool.driver.fill_volume(
                pool.document,
                check_volume_name(name, "name"),
                begun.path,
                begun.format,
                format_ or (begun.format if is_kept else formats[0]),
                progress,
            )
        await self._volumes.settle(volume)
        return volume

    async def clones(self, pool_id: PoolId, name: str) -> list[str]:
        """Names of the volumes that stand on it, sorted; none when it is not there, or in a pool that makes no linked clones."""
        async with self._pools.using(pool_id) as pool:
            try:
                return await linked_clones(pool.driver, pool.document, name)
            except NotFound:
                return []
