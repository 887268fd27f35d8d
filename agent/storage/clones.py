"""Volumes made from volumes: bases, linked clones that stand on them, full copies that do not.

Whoever calls has found the new name free and recorded how it is undone, in this order.
"""

from agent.events import Publisher
from agent.storage.driver import Progress, clones_of
from agent.storage.pools import Pools
from agent.storage.ports import VolumeUses
from agent.storage.quota import Quotas
from horcrux.auth.permission import Scope
from horcrux.errors import NotFound
from horcrux.ids import PoolId
from horcrux.storage.bodies import VolumeView
from horcrux.storage.volume import Volume, check_volume_name


class VolumeCopies:
    def __init__(self, pools: Pools, events: Publisher, uses: VolumeUses, quotas: Quotas) -> None:
        self._quotas = quotas
        self._pools = pools
        self._events = events
        self._uses = uses

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
        await self._quotas.rename(pool_id, name, base)
        self._events.publish("volume", f"{pool_id}/{name}", None, Scope.STORAGE_READ)
        await self._tell(volume)
        return volume

    async def link(self, pool_id: PoolId, base: str, name: str) -> Volume:
        """A new volume that stands on `base`. HostLacks."""
        async with self._pools.using(pool_id) as pool:
            volume = await clones_of(pool.driver, pool.document).clone_volume(
                pool.document, base, check_volume_name(name, "name")
            )
        await self._tell(volume)
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
        await self._tell(volume)
        return volume

    async def clones(self, pool_id: PoolId, name: str) -> list[str]:
        """Names of the volumes that stand on it, sorted; none when it is not there, or in a pool that makes no linked clones."""
        if not self.can_link(pool_id):
            return []
        async with self._pools.using(pool_id) as pool:
            try:
                return await clones_of(pool.driver, pool.document).clones_of_volume(pool.document, name)
            except NotFound:
                return []

    async def _tell(self, volume: Volume) -> None:
        """What is kept for it is its size, and whoever listens knows it."""
        await self._quotas.settle(volume)
        view = VolumeView.of(volume, self._uses.uses(volume.pool).get(volume.name))
        self._events.publish("volume", f"{volume.pool}/{volume.name}", view, Scope.STORAGE_READ)
