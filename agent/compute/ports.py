"""What the VM services need of their neighbours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from horcrux.compute.vm import CloudInit
from horcrux.ids import PoolId, VmId
from horcrux.storage.volume import Image, Volume, VolumeSnapshot, VolumeUse


class Disks(Protocol):
    """Storage as the VM services use it (`agent.storage.service.StorageService` is the implementation)."""

    def volume_pools(self) -> frozenset[str]:
        """Ids of the pools that volumes can be made in now."""
        ...

    async def all_images(self) -> Mapping[tuple[str, str], Image]:
        """By (pool, name)."""
        ...

    async def has_volume(self, pool_id: PoolId, name: str) -> bool:
        """Whether there is one, or somebody holds the name."""
        ...

    async def reserve(
        self, user: str, wanted: Sequence[tuple[PoolId, str, int]], leaving: Sequence[tuple[PoolId, str]] = ()
    ) -> None:
        """Disks of these sizes (pool, name, bytes) may be made, or grow to them, on behalf of `user`, all of them; those of
        `leaving` go in exchange. QuotaExceeded. Comes after the undo has been recorded, and before they are made."""
        ...

    async def create_disk(
        self, pool_id: PoolId, name: str, size_bytes: int, image: str | None, progress: Callable[[float], None]
    ) -> Volume:
        """A new volume of `size_bytes`, empty or begun from an image of the pool."""
        ...

    async def link_disk(self, pool_id: PoolId, base: str, name: str) -> Volume:
        """A new volume that stands on `base` of the same pool. HostLacks where the pool cannot."""
        ...

    async def copy_disk(
        self, source: tuple[PoolId, str], pool_id: PoolId, name: str, progress: Callable[[float], None]
    ) -> Volume:
        """A new volume with the content of `source` (pool, name), which nobody writes to. Cancellable."""
        ...

    async def delete_disk(self, pool_id: PoolId, name: str) -> None:
        """Gone, also when it was gone before; who uses it is not asked."""
        ...

    async def find_disk(self, pool_id: PoolId, name: str) -> Volume:
        """NotFound."""
        ...

    async def image_path(self, pool_id: PoolId, name: str) -> str:
        """NotFound."""
        ...

    async def write_seed(self, vm_id: VmId, uuid: str, number: int, name: str, cloud_init: CloudInit) -> str:
        """Path of the NoCloud seed, written anew; `number` counts its changes and is part of the instance id."""
        ...

    async def delete_seed(self, vm_id: VmId) -> None:
        """Gone, also when it was gone before."""
        ...


class DiskSnapshots(Protocol):
    """Snapshots of volumes (`agent.storage.disk_snapshots` is the implementation). HostLacks for a pool that cannot."""

    async def are_live(self, pool_id: PoolId) -> bool:
        """Whether the pool takes and deletes them while a guest writes; then a revert takes the newest only, too."""
        ...

    async def take(self, pool_id: PoolId, names: Sequence[str], snapshot: str) -> None:
        """Each of the volumes has it, all of one time where the pool can."""
        ...

    async def of(self, pool_id: PoolId, name: str) -> list[VolumeSnapshot]:
        """Of one volume, oldest first."""
        ...

    async def revert(self, pool_id: PoolId, name: str, snapshot: str) -> None:
        """The volume, which nobody has open, is as it was. Idempotent."""
        ...

    async def settle(self, pool_id: PoolId, name: str) -> None:
        """What the volume takes of quotas is its size; nothing when it is gone."""
        ...

    async def remove(self, pool_id: PoolId, name: str, snapshot: str) -> None:
        """Gone, also when it was gone before."""
        ...

    async def clones(self, pool_id: PoolId, name: str) -> list[str]:
        """Volumes that stand on that volume."""
        ...


class TemplateDisks(Disks, Protocol):
    """Storage as templates use it beside that."""

    def can_link(self, pool_id: PoolId) -> bool:
        """Whether the pool makes linked clones. NotFound."""
        ...

    def check_can_link(self, pool_id: PoolId) -> None:
        """HostLacks, with the way out, for a pool that makes none."""
        ...

    def use_of(self, pool_id: PoolId, name: str) -> VolumeUse | None:
        """Who holds a volume; from memory."""
        ...

    async def make_base(self, pool_id: PoolId, name: str, base: str) -> Volume:
        """The volume is named `base` from now on, and never written to again. Idempotent. HostLacks."""
        ...

    async def clones_on(self, pool_id: PoolId, name: str) -> list[str]:
        """Names of the volumes that stand on it, sorted; none when it is not there, or in a pool that makes no linked clones."""
        ...
