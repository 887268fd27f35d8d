"""Linked clones of the driver that lives in memory."""

import msgspec

from agent.storage.fake_snapshots import FakeSnapshots, VolumesOf
from horcrux.storage.pool import PoolDocument
from horcrux.storage.refusals import base_never_changes, check_no_clones, no_volume, not_a_base, volume_taken
from horcrux.storage.volume import Volume, VolumeKind


class FakeClones:
    def __init__(self, volumes: VolumesOf, snapshots: FakeSnapshots) -> None:
        self._volumes = volumes
        self._snapshots = snapshots
        self._bases = snapshots.bases

    async def make_base(self, pool: PoolDocument, name: str, base: str) -> Volume:
        volumes = self._volumes(pool)
        begun, made = volumes.get(name), volumes.get(base)
        if begun is not None and made is not None and base != name:
            raise volume_taken(pool.id, base)
        if begun is not None and begun is not made:
            self.refuse_clones(pool, name)
            renamed = _named(volumes.pop(name), base)
            volumes[base] = renamed
            self._snapshots.rename(pool, name, base)
        elif made is None:
            raise no_volume(pool.id, name)
        self._bases.add((pool.id, base))
        return volumes[base]

    async def clone_volume(self, pool: PoolDocument, base: str, name: str) -> Volume:
        volumes = self._volumes(pool)
        below = volumes.get(base)
        if below is None:
            raise no_volume(pool.id, base)
        if (pool.id, base) not in self._bases:
            raise not_a_base(pool.id, base)
        if name in volumes:
            raise volume_taken(pool.id, name)
        format_ = "raw" if below.kind is VolumeKind.BLOCK else "qcow2"
        clone = _named(msgspec.structs.replace(below, allocation_bytes=0, base=base), name, format_)
        volumes[name] = clone
        return clone

    async def clones_of_volume(self, pool: PoolDocument, name: str) -> list[str]:
        if name not in self._volumes(pool):
            raise no_volume(pool.id, name)
        return self._clones(pool, name)

    def check_changeable(self, pool: PoolDocument, name: str) -> None:
        """Conflict for a base."""
        if (pool.id, name) in self._bases:
            raise base_never_changes(pool.id, name)

    def refuse_clones(self, pool: PoolDocument, name: str) -> None:
        """InUse, naming them."""
        check_no_clones(pool.id, name, self._clones(pool, name))

    def forget(self, pool: PoolDocument, name: str) -> None:
        """The volume is gone."""
        self._bases.discard((pool.id, name))

    def _clones(self, pool: PoolDocument, name: str) -> list[str]:
        return sorted(volume.name for volume in self._volumes(pool).values() if volume.base == name)


def _named(volume: Volume, name: str, format_: str | None = None) -> Volume:
    """The volume under another name, where that name leads."""
    ending = "" if volume.kind is VolumeKind.BLOCK else f".{format_ or volume.format}"
    path = f"{volume.path.rpartition('/')[0]}/{name}{ending}"
    return msgspec.structs.replace(volume, name=name, format=format_ or volume.format, path=path)
