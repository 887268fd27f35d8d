"""What a kind of pool must be able to do. Implementations: `libvirt_pool.py` (dir, nfs), `zfs.py`,
`lvm_pool.py`, `libvirt_iscsi.py`, `libvirt_rbd.py`, and `fake.py`.

Snapshots and linked clones are abilities beside it: `snapshots_of` and `clones_of` find them.

One driver object serves every pool of its types. Names have been checked before they come here. Every `create` may be cut
off at any point: whatever it leaves, `delete_volume` of the same name removes.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from horcrux.errors import HostLacks
from horcrux.storage.pool import FoundPool, PoolDocument, PoolSeen
from horcrux.storage.volume import AS_THE_POOL, Volume, VolumeOptions, VolumeSnapshot

Progress = Callable[[float], None]
"""Called with 0..1, on the event loop, as often as the driver likes."""


class StorageDriver(Protocol):
    """NotFound for a missing volume, Unavailable for a pool that is not active, NoSpace when it is full."""

    async def open(self, pool: PoolDocument) -> None:
        """The pool is defined and active, and its folder is there and may be entered by QEMU. Idempotent."""
        ...

    async def remove(self, pool: PoolDocument) -> None:
        """The pool is no longer known to the host; what it held stays on the disk. Idempotent."""
        ...

    async def look(self, pool: PoolDocument) -> PoolSeen:
        """Its sizes now; never raises for a pool that cannot be reached, but says so in the answer."""
        ...

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        """By name."""
        ...

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume: ...

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        """Of the volumes that can be made in it; the first is the default."""
        ...

    def image_folder(self, pool: PoolDocument) -> str | None:
        """Where its images lie while it is open; None for a pool that holds nothing but volumes. From the document alone."""
        ...

    async def create_volume(
        self,
        pool: PoolDocument,
        name: str,
        capacity_bytes: int,
        format_: str,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        """An empty volume of at least `capacity_bytes` (some pools round up). AlreadyExists."""
        ...

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        """A new volume with the content of `source` (a path as in `Volume.path`), converted; holes stay holes. AlreadyExists.
        Cancellable: the copying process is ended, what it wrote stays for `delete_volume`."""
        ...

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        """It can hold `capacity_bytes`; Conflict when it is larger already (we never shrink)."""
        ...

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        """Gone with its snapshots, also when it was gone before. InUse, naming them, while linked clones stand on it."""
        ...


class VolumeSnapshots(Protocol):
    """A driver whose volumes can be brought back to an earlier state."""

    def are_live(self, pool: PoolDocument) -> bool:
        """Whether snapshots may be made and deleted while a guest writes to the volume (ZFS). Where not (qcow2), that guest's
        QEMU has to do it, and `snapshot_volumes` and `delete_snapshot` are for volumes that nobody has open."""
        ...

    async def snapshot_volumes(self, pool: PoolDocument, names: Sequence[str], snapshot: str) -> None:
        """Every volume has a snapshot of that name; all at one time where the pool can. AlreadyExists; Conflict for a
        format that cannot (raw on a folder), naming the volume."""
        ...

    async def list_snapshots(self, pool: PoolDocument, name: str) -> list[VolumeSnapshot]:
        """Of one volume, oldest first."""
        ...

    async def revert_volume(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        """It is as it was at the snapshot, which stays; size included. Nobody has it open. NotFound; Conflict, naming them,
        when newer snapshots stand in the way (ZFS); idempotent."""
        ...

    async def delete_snapshot(self, pool: PoolDocument, name: str, snapshot: str) -> None:
        """Gone, also when it was gone before; the volume and its other snapshots do not change. InUse, naming them, while
        linked clones stand on it."""
        ...


class VolumeClones(Protocol):
    """A driver that can make volumes which share what they have not changed with another."""

    async def make_base(self, pool: PoolDocument, name: str, base: str) -> Volume:
        """The volume is named `base` from now on and is never written to again; clones can be made of it. Idempotent: also
        when a cut-off call had got as far as the new name. AlreadyExists when both are there."""
        ...

    async def clone_volume(self, pool: PoolDocument, base: str, name: str) -> Volume:
        """A new volume that begins as `base` (which `make_base` made) and takes only the space of what changes in it."""
        ...

    async def clones_of_volume(self, pool: PoolDocument, name: str) -> list[str]:
        """Names of the volumes that stand on it, sorted."""
        ...


def snapshots_of(driver: StorageDriver, pool: PoolDocument) -> VolumeSnapshots:
    """The driver's ability; HostLacks, naming the pool, for a kind of pool without it."""
    if isinstance(driver, HasSnapshots) and (ability := driver.snapshots(pool)) is not None:
        return ability
    raise HostLacks(f"pool {pool.id} ({pool.storage_type}) cannot make snapshots", pool=pool.id)


def clones_of(driver: StorageDriver, pool: PoolDocument) -> VolumeClones:
    """The driver's ability; HostLacks, naming the pool, for a kind of pool without it."""
    if isinstance(driver, HasClones) and (ability := driver.clones(pool)) is not None:
        return ability
    raise HostLacks(f"pool {pool.id} ({pool.storage_type}) cannot make linked clones; make a full one", pool=pool.id)


async def linked_clones(driver: StorageDriver, pool: PoolDocument, name: str) -> list[str]:
    """Names of the volumes that stand on it, sorted; none in a pool that makes no linked clones. NotFound."""
    try:
        ability = clones_of(driver, pool)
    except HostLacks:
        return []
    return await ability.clones_of_volume(pool, name)


@runtime_checkable
class FindsPools(Protocol):
    """A driver that can say what of this host pools could be made on."""

    async def found_pools(self) -> list[FoundPool]:
        """By target; empty where there is nothing."""
        ...


@runtime_checkable
class HasSnapshots(Protocol):
    def snapshots(self, pool: PoolDocument) -> VolumeSnapshots | None:
        """None when pools of this type cannot."""
        ...


@runtime_checkable
class HasClones(Protocol):
    def clones(self, pool: PoolDocument) -> VolumeClones | None:
        """None when pools of this type cannot."""
        ...
