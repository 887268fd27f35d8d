"""Snapshots of the driver that lives in memory."""

from collections.abc import Callable, Sequence

import msgspec

from horcrux.errors import AlreadyExists, Conflict, NotFound
from horcrux.ids import PoolId
from horcrux.storage.pool import PoolDocument
from horcrux.storage.refusals import base_never_changes, no_volume
from horcrux.storage.volume import Volume, VolumeSnapshot

VolumesOf = Callable[[PoolDocument], dict[str, Volume]]
"""What the pool holds, by name, to be changed; Unavailable for a pool that is not active."""


class _Kept(msgspec.Struct, frozen=True):
    snapshot: VolumeSnapshot
    volume: Volume
    """As it was."""


class FakeSnapshots:
    """The n-th snapshot is made at second n. `is_like_zfs` as the driver has it."""

    def __init__(self, volumes: VolumesOf, *, is_like_zfs: bool) -> None:
        self.bases: set[tuple[PoolId, str]] = set()
        """Volumes that never change again (`FakeClones` keeps them here)."""
        self._volumes = volumes
        self._is_like_zfs = is_like_zfs
        self._kept: dict[tuple[PoolId, str], dict[str, _Kept]] = {}
        self._made = 0

    def are_live(self, pool: PoolDocument) -> bool:
        return self._is_like_zfs

    async def snapshot_volumes(self, pool: PoolDocument, names: Sequence[str], snapshot: str) -> None:
        volumes = [self._changeable(pool, name) for name in names]
        for volume in volumes:
            if snapshot in self._of(pool, volume.name):
                raise AlreadyExists(
                    f"volume {volume.name} of pool {pool.id} has a snapshot {snapshot} already",
                    volume=volume.name,
                    snapshot=snapshot,
                )
        self._made += 1
        made = VolumeSnapshot(name=snapshot, created_at=float(self._made))
        for volume in volumes:
            self._kept.setdefault((pool.id, volume.name), {})[snapshot] = _Kept(made, volume)

    async def list_snapshots(self, pool: PoolDocument, name: str) -> list[VolumeSnapshot]:
        self._found(pool, name)
        return [kept.snapshot for kept in self._of(pool, name).values()]

    async def revert_volume(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        self._changeable(pool, name)
        kept = self._of(pool, name)
        if snapshot not in kept:
            words = f"volume {name} of pool {pool.id} has no snapshot {snapshot}"
            raise NotFound(words, volume=name, snapshot=snapshot)
        newer = list(kept)[list(kept).index(snapshot) + 1 :]
        if newer and self._is_like_zfs:
            words = f"newer snapshots of volume {name} of pool {pool.id} are in the way: {', '.join(newer)}"
            raise Conflict(words, volume=name, snapshots=newer)
        self._volumes(pool)[name] = kept[snapshot].volume

    async def delete_snapshot(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        if name in self._volumes(pool):
            self._of(pool, name).pop(snapshot, None)

    def forget(self, pool: PoolDocument, name: str) -> None:
        """The volume is gone."""
        self._kept.pop((pool.id, name), None)

    def rename(self, pool: PoolDocument, name: str, new: str) -> None:
        """The volume has another name, and its snapshots with it."""
        moved = self._kept.pop((pool.id, name), {})
        self._kept[pool.id, new] = {key: _Kept(kept.snapshot, self._volumes(pool)[new]) for key, kept in moved.items()}

    def _of(self, pool: PoolDocument, name: str) -> dict[str, _Kept]:
        return self._kept.get((pool.id, name), {})

    def _found(self, pool: PoolDocument, name: str) -> Volume:
        volume = self._volumes(pool).get(name)
        if volume is None:
            raise no_volume(pool.id, name)
        return volume

    def _changeable(self, pool: PoolDocument, name: str) -> Volume:
        volume = self._found(pool, name)
        if (pool.id, name) in self.bases:
            raise base_never_changes(pool.id, name)
        if volume.format != "qcow2" and not self._is_like_zfs:
            raise Conflict(f"volume {name} of pool {pool.id} is {volume.format}, which keeps no snapshots", volume=name)
        return volume
