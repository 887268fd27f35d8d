"""What the VM services need of their neighbours."""

from collections.abc import Callable, Mapping
from typing import Protocol

from horcrux.compute.vm import CloudInit
from horcrux.ids import PoolId, VmId
from horcrux.storage.volume import Image, Volume


class Disks(Protocol):
    """Storage as the VM services use it (`agent.storage.service.StorageService` is the implementation)."""

    def volume_pools(self) -> frozenset[str]:
        """Ids of the pools that volumes can be made in now."""
        ...

    async def all_images(self) -> Mapping[tuple[str, str], Image]:
        """By (pool, name)."""
        ...

    async def has_volume(self, pool_id: PoolId, name: str) -> bool: ...

    async def create_disk(
        self, pool_id: PoolId, name: str, size_bytes: int, image: str | None, progress: Callable[[float], None]
    ) -> Volume:
        """A new volume of `size_bytes`, empty or begun from an image of the pool."""
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
