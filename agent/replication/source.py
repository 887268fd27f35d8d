"""The source's side of one replication: its VM's volumes here, the snapshots, bookmarks and holds on them."""

from collections.abc import Mapping, Sequence

from agent.replication.driver import SendDriver, VolumeAt
from agent.replication.ports import DisksOf
from agent.storage.pools import Pools
from horcrux.errors import Conflict, NotFound
from horcrux.replication.points import HOLD, Points, is_of
from horcrux.replication.replication import ReplicationId, VolumeRef
from horcrux.storage.pool import PoolType


class Source:
    def __init__(self, pools: Pools, streams: SendDriver | None, disks_of: DisksOf) -> None:
        self._pools = pools
        self._streams = streams
        self._disks_of = disks_of

    @property
    def streams(self) -> SendDriver:
        if self._streams is None:
            raise Conflict("this host has no ZFS, whose streams replication is made of")
        return self._streams

    def volumes(self, vm_id: str) -> tuple[VolumeRef, ...]:
        """Of every disk of the VM. NotFound; Conflict, naming the disk, for one that is not on ZFS, or for none at all."""
        disks = self._disks_of(vm_id)
        if not disks:
            raise Conflict(f"VM {vm_id} has no disks, so there is nothing to replicate")
        for disk in disks:
            pool = self._pools.find(disk.storage_pool).document
            if pool.storage_type is not PoolType.ZFS:
                words = f"{disk.name} of VM {vm_id} lies in pool {pool.id} of type {pool.storage_type}"
                raise Conflict(f"{words}; only disks in ZFS pools can be replicated: move it first", disk=disk.name)
        names = [disk.volume for disk in disks]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Conflict(f"two disks of VM {vm_id} have volumes named {twice}; at the peer they would be one")
        return tuple(VolumeRef(pool=d.storage_pool, volume=d.volume, disk=d.name) for d in disks)

    def at(self, ref: VolumeRef) -> VolumeAt:
        """NotFound when its pool is gone."""
        return VolumeAt(self._pools.find(ref.pool).document, ref.volume)

    async def points(self, refs: Sequence[VolumeRef]) -> Mapping[str, Points]:
        """By volume. NotFound."""
        return {ref.volume: await self.streams.points(self.at(ref)) for ref in refs}

    async def has_snapshot(self, refs: Sequence[VolumeRef], name: str) -> bool:
        """Whether every volume has it."""
        points = await self.points(refs)
        return all(any(p.name == name for p in each.snapshots) for each in points.values())

    async def take(self, refs: Sequence[VolumeRef], name: str) -> None:
        """Every volume has the snapshot, all of one time as far as they share a zpool."""
        await self.streams.snapshot([self.at(ref) for ref in refs], name)

    async def remember(self, refs: Sequence[VolumeRef], name: str) -> None:
        """Every volume has a bookmark of the snapshot."""
        for ref in refs:
            await self.streams.bookmark(self.at(ref), name)

    async def hold(self, refs: Sequence[VolumeRef], name: str) -> None:
        for ref in refs:
            await self.streams.hold(self.at(ref), name, HOLD)

    async def let_go(self, id_: ReplicationId, refs: Sequence[VolumeRef]) -> None:
        """Nothing of that replication is held any more; volumes and pools that are gone hold nothing."""
        for ref in refs:
            try:
                at = self.at(ref)
                points = await self.streams.points(at)
            except NotFound:
                continue
            for point in points.snapshots:
                if is_of(id_, point.name):
                    await self.streams.release(at, point.name, HOLD)

    async def clean(self, id_: ReplicationId, refs: Sequence[VolumeRef], *, keep: str | None) -> None:
        """Of what the replication made only the bookmark `keep` is left on these volumes: snapshots pin space, and
        stand in the way of going back."""
        for ref in refs:
            try:
                at = self.at(ref)
                points = await self.streams.points(at)
            except NotFound:
                continue
            ours = [p.name for p in points.snapshots if is_of(id_, p.name)]
            for name in ours:
                await self.streams.release(at, name, HOLD)
            await self.streams.destroy(
                at,
                snapshots=ours,
                bookmarks=[p.name for p in points.bookmarks if is_of(id_, p.name) and p.name != keep],
            )


def merged(refs: Sequence[VolumeRef], more: Sequence[VolumeRef]) -> tuple[VolumeRef, ...]:
    """Each volume once."""
    return tuple({(ref.pool, ref.volume): ref for ref in (*refs, *more)}.values())
