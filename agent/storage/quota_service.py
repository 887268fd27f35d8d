"""Quotas for the API: listed with what is taken of them, set, changed, deleted; and what counts made true at the start."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from agent.events import Publisher
from agent.storage.pools import Pools
from agent.storage.quota import Quotas
from horcrux.auth.permission import Scope
from horcrux.errors import AlreadyExists, HorcruxError, invalid_field
from horcrux.ids import PoolId
from horcrux.if_match import check_match
from horcrux.storage.quota import NewQuota, Quota, QuotaChange, QuotaView, check_limit_gb
from horcrux.storage.volume import Volume
from horcrux.store import Collection, Document, Store

log = logging.getLogger(__name__)


class _Owned(msgspec.Struct, frozen=True):
    """A VM or a template, as far as it matters here."""

    spec: "_Disks"
    disks: tuple["_Disk", ...] = ()
    user: str = ""


class _Disks(msgspec.Struct, frozen=True):
    disks: tuple["_Disk", ...] = ()


class _Disk(msgspec.Struct, frozen=True):
    storage_pool: str
    volume: str


class _User(msgspec.Struct, frozen=True):
    """That there is one is all that is asked."""


class QuotaService:
    def __init__(self, store: Store, quotas: Quotas, pools: Pools, events: Publisher) -> None:
        self._owned = [Collection(store, kind, _Owned) for kind in ("vm", "template")]
        self._users = Collection(store, "user", _User)
        self._quotas = quotas
        self._pools = pools
        self._events = events

    async def start(self) -> None:
        """What counts is what there is, whatever an earlier life left. Nothing else works with volumes meanwhile."""
        volumes: dict[PoolId, Sequence[Volume]] = {}
        for pool in self._pools.ours():
            try:
                volumes[pool.document.id] = await pool.driver.list_volumes(pool.document)
            except HorcruxError as err:
                log.warning("what is taken of pool %s stays as it was: %s", pool.document.id, err)
        known = frozenset(view.id for view in await self._pools.views())
        await self._quotas.reconcile(volumes, await self._owners(), known)

    async def views(self) -> list[QuotaView]:
        """By id."""
        kept = [one.value for one in await self._quotas.allocations.list()]
        return [QuotaView.of(one.value, one.revision, kept) for one in await self._quotas.quotas.list()]

    async def view(self, id_: str) -> QuotaView:
        """NotFound."""
        return await self._shown(await self._quotas.quotas.get(id_))

    async def create(self, order: NewQuota) -> QuotaView:
        """AlreadyExists when one has that id, or the same pool and user."""
        quota = order.checked()
        await self._check_exists(quota)
        for other in await self._quotas.quotas.list():
            if (other.value.pool, other.value.user) == (quota.pool, quota.user):
                words = f"quota {other.value.id} bounds {quota.bounds} already; change its limit"
                raise AlreadyExists(words, kind="quota", id=other.value.id)
        await self._quotas.quotas.create(quota.id, quota)
        return await self._told(quota.id)

    async def change(self, id_: str, change: QuotaChange, if_match: int | None) -> QuotaView:
        """Stale, with the quota as it is, when `if_match` names an older one."""
        limit_bytes = check_limit_gb(change.limit_gb)
        was = await self._quotas.quotas.get(id_)
        await self._check_match(was, if_match)
        await self._quotas.quotas.replace(id_, was, msgspec.structs.replace(was.value, limit_bytes=limit_bytes))
        return await self._told(id_)

    async def delete(self, id_: str, if_match: int | None) -> None:
        was = await self._quotas.quotas.get(id_)
        await self._check_match(was, if_match)
        await self._quotas.forget(was)
        self._events.publish("quota", id_, None, Scope.STORAGE_READ)

    async def _check_exists(self, quota: Quota) -> None:
        """A quota for what is not there is a slip of the pen."""
        if quota.pool is not None and quota.pool not in {view.id for view in await self._pools.views()}:
            raise invalid_field("pool", f"there is no pool {quota.pool}")
        if quota.user is not None and await self._users.find(quota.user) is None:
            raise invalid_field("user", f"there is no user {quota.user}")

    async def _check_match(self, was: Document[Quota], if_match: int | None) -> None:
        await check_match(f"quota {was.value.id}", was, if_match, lambda: self._shown(was))

    async def _shown(self, document: Document[Quota]) -> QuotaView:
        kept = [one.value for one in await self._quotas.allocations.list()]
        return QuotaView.of(document.value, document.revision, kept)

    async def _told(self, id_: str) -> QuotaView:
        view = await self.view(id_)
        self._events.publish("quota", id_, view, Scope.STORAGE_READ)
        return view

    async def _owners(self) -> Mapping[tuple[str, str], str]:
        """Who made the VM or the template that has a volume, by (pool, volume)."""
        owners: dict[tuple[str, str], str] = {}
        for collection in self._owned:
            for document in await collection.list():
                owned: _Owned = document.value
                disks: Iterable[_Disk] = (*owned.spec.disks, *owned.disks)
                owners.update(((disk.storage_pool, disk.volume), owned.user) for disk in disks)
        return owners
