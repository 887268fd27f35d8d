"""Snapshots of volumes by pool and name, for the VM services (`agent.compute.ports.DiskSnapshots`)."""

from collections.abc import Sequence
from contextlib import suppress

from agent.storage.driver import linked_clones, snapshots_of
from agent.storage.pools import Pools
from agent.storage.quota import Quotas
from horcrux.errors import NotFound
from horcrux.ids import PoolId
from horcrux.storage.volume import VolumeSnapshot


class DiskSnapshots:
    """Every call: NotFound for a pool that is not there, HostLacks for one that cannot make snapshots."""

    def __init__(self, pools: Pools, quotas: Quotas) -> None:
        self._pools = pools
        self._quotas = quotas

    async def are_live(self, pool_id: PoolId) -> bool:
        """Whether the pool takes and deletes them while a guest writes; then a revert takes the newest only, too."""
        async with self._pools.using(pool_id) as pool:
            return snapshots_of(pool.driver, pool.document).are_live(pool.document)

    async def take(self, pool_id: PoolId, names: Sequence[str], snapshot: str) -> None:
        async with self._pools.using(pool_id) as pool:
            await snapshots_of(pool.driver, pool.document).snapshot_volumes(pool.document, names, snapshot)

    async def of(self, pool_id: PoolId, name: str) -> list[VolumeSnapshot]:
        """Of one volume, oldest first."""
        async with self._pools.using(pool_id) as pool:
            return await snapshots_of(pool.driver, pool.document).list_snapshots(pool.document, name)

    async def revert(self, pool_id: PoolId, name: str, snapshot: str) -> None:
        """The volume is as it was, and so is what it takes of quotas."""
        async with self._pools.using(pool_id) as pool:
            await snapshots_of(pool.driver, pool.document).revert_volume(pool.document, name, snapshot)
            await self._quotas.settle(await pool.driver.find_volume(pool.document, name))

    async def settle(self, pool_id: PoolId, name: str) -> None:
        """What the volume takes of quotas is its size; nothing when it is gone."""
        with suppress(NotFound):
            async with self._pools.using(pool_id) as pool:
                await self._quotas.settle(await pool.driver.find_volume(pool.document, name))

    async def remove(self, pool_id: PoolId, name: str, snapshot: str) -> None:
        """Gone, also when it was gone before."""
        async with self._pools.using(pool_id) as pool:
            await snapshots_of(pool.driver, pool.document).delete_snapshot(pool.document, name, snapshot)

    async def clones(self, pool_id: PoolId, name: str) -> list[str]:
        """Volumes that stand on that volume; none in a pool that makes no linked clones."""
        async with self._pools.using(pool_id) as pool:
            return await linked_clones(pool.driver, pool.document, name)
