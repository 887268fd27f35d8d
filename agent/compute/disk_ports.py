"""What moving and growing disks needs of storage beside what every VM service does."""

from collections.abc import Callable
from typing import Protocol

from agent.compute.ports import Disks
from horcrux.ids import PoolId
from horcrux.storage.volume import Volume, VolumeUse


class DiskVolumes(Disks, Protocol):
    """`agent.storage.service.StorageService` is the implementation."""

    def format_for(self, pool_id: PoolId, wanted: str | None, now: str) -> str:
        """Of a new volume: `wanted`, else `now` where the pool can, else its default. Invalid; NotFound for the pool."""
        ...

    def use_of(self, pool_id: PoolId, name: str) -> VolumeUse | None:
        """Who holds a volume; from memory."""
        ...

    async def available_bytes(self, pool_id: PoolId) -> int | None:
        """What the pool has left for what is written; None where it cannot tell. Unavailable, with the reason, for one that
        cannot be reached."""
        ...

    async def settle(self, volume: Volume) -> None:
        """What counts towards quotas is the size that the volume has."""
        ...

    async def create_disk(
        self,
        pool_id: PoolId,
        name: str,
        size_bytes: int,
        image: str | None,
        progress: Callable[[float], None],
        format_: str | None = None,
    ) -> Volume:
        """As `Disks.create_disk`, in a format of the pool's."""
        ...

    async def copy_disk(
        self,
        source: tuple[PoolId, str],
        pool_id: PoolId,
        name: str,
        progress: Callable[[float], None],
        format_: str | None = None,
    ) -> Volume:
        """As `Disks.copy_disk`, in a format of the pool's."""
        ...

    async def grow_disk(self, pool_id: PoolId, name: str, size_bytes: int) -> Volume:
        """It can hold that much. Not for files that a guest has open."""
        ...
