"""Who may take how much: everything that makes or grows a volume reserves its size here first.

    reserve (allocation kept, in one transaction with a touch of every quota that counts it) -> volume made -> settle (real size)
    volume gone -> release

Of two that reserve from one quota at the same time one transaction fails and looks again, so together they never take more
than it allows. What a cut-off agent left is made true at its next start (`reconcile`).
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from horcrux.ids import PoolId
from horcrux.storage.quota import Allocation, Quota, QuotaTouch, admit_allocations, allocation_key
from horcrux.storage.volume import Volume
from horcrux.store import Collection, Compare, Delete, Document, Op, Put, Store

log = logging.getLogger(__name__)

Wanted = tuple[PoolId, str, int]
"""Pool, volume, bytes."""


class Quotas:
    """Stateless beside the store: every agent of a cluster may have its own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.quotas = Collection(store, "quota", Quota)
        self.allocations = Collection(store, "allocation", Allocation)
        self._touches = Collection(store, "quota-touch", QuotaTouch)

    async def reserve(self, user: str, wanted: Sequence[Wanted], leaving: Iterable[tuple[str, str]] = ()) -> None:
        """All of `wanted` are kept for `user`, or none (QuotaExceeded). What is kept already under the same pool and volume is
        replaced; volumes of `leaving` (pool, name) are about to go in exchange and do not count against it. Idempotent."""
        new = [Allocation(pool=pool, volume=name, user=user, capacity_bytes=size) for pool, name, size in wanted]
        await self._keep(new, [allocation_key(pool, name) for pool, name in leaving])

    async def grow(self, pool: str, volume: str, capacity_bytes: int) -> None:
        """The volume may grow to that size; what is kept for it never becomes less by this. QuotaExceeded."""
        was = await self.allocations.find(allocation_key(pool, volume))
        user = "" if was is None else was.value.user
        kept_bytes = 0 if was is None else was.value.capacity_bytes
        await self.reserve(user, [(PoolId(pool), volume, max(capacity_bytes, kept_bytes))])

    async def settle(self, volume: Volume) -> None:
        """What is kept for a volume that is there is its real size: a pool may round up, and a growth may have failed."""
        key = allocation_key(volume.pool, volume.name)
        was = await self.allocations.find(key)
        user = "" if was is None else was.value.user
        wanted = Allocation(pool=volume.pool, volume=volume.name, user=user, capacity_bytes=volume.capacity_bytes)
        if was is None or was.value != wanted:
            await self._put(wanted)

    async def rename(self, pool: str, volume: str, to: str) -> None:
        """What was kept for the volume is kept under its new name; idempotent."""
        was = await self.allocations.find(allocation_key(pool, volume))
        if was is not None:
            now = msgspec.structs.replace(was.value, volume=to)
            put = Put(self.allocations.key(now.key), self.allocations.encode(now))
            await self._store.txn([], [Delete(was.key), put])

    async def release(self, pool: str, volume: str) -> None:
        """The volume is gone; idempotent."""
        await self.allocations.delete(allocation_key(pool, volume))

    async def forget(self, quota: Document[Quota]) -> None:
        """The quota is gone. Stale when it has changed."""
        touch = Delete(self._touches.key(quota.value.id))
        await self.quotas.delete(quota.value.id, quota.revision, also=[touch])

    async def reconcile(
        self,
        volumes: Mapping[PoolId, Sequence[Volume]],
        owners: Mapping[tuple[str, str], str],
        pools: frozenset[str],
    ) -> None:
        """What is kept is what there is. `volumes`: those of each pool that could be looked at; `owners`: who made what, by
        (pool, volume), where that is known; `pools`: all there are. Nothing else may take or free meanwhile."""
        kept = {one.value.key: one.value for one in await self.allocations.list()}
        for found in volumes.values():
            for volume in found:
                was = kept.pop(allocation_key(volume.pool, volume.name), None)
                known = "" if was is None else was.user
                user = owners.get((volume.pool, volume.name), known)
                true = Allocation(pool=volume.pool, volume=volume.name, user=user, capacity_bytes=volume.capacity_bytes)
                if true != was:
                    await self._put(true)
        for one in kept.values():
            if one.pool in volumes or one.pool not in pools:
                log.info("nothing is kept any more for volume %s of pool %s, which is gone", one.volume, one.pool)
                await self.release(one.pool, one.volume)

    async def _keep(self, new: Sequence[Allocation], leaving: Sequence[str]) -> None:
        while True:
            quotas = [one for one in await self.quotas.list() if any(one.value.counts(each) for each in new)]
            touches = [await self._touches.find(one.value.id) for one in quotas]
            kept = [one.value for one in await self.allocations.list()] if quotas else []
            admit_allocations([one.value for one in quotas], kept, new, leaving)
            ops: list[Op] = [Put(self.allocations.key(one.key), self.allocations.encode(one)) for one in new]
            ops += [self._touch(one.value.id) for one in quotas]
            compares = [Compare(one.key, "mod", one.revision) for one in quotas]
            compares += [self._as_touched(one, touch) for one, touch in zip(quotas, touches, strict=True)]
            if (await self._store.txn(compares, ops)).succeeded:
                return

    def _touch(self, quota: str) -> Put:
        return Put(self._touches.key(quota), self._touches.encode(QuotaTouch(quota=quota)))

    def _as_touched(self, quota: Document[Quota], touch: Document[QuotaTouch] | None) -> Compare:
        return Compare(self._touches.key(quota.value.id), "mod", 0 if touch is None else touch.revision)

    async def _put(self, one: Allocation) -> None:
        await self._store.txn([], [Put(self.allocations.key(one.key), self.allocations.encode(one))])
