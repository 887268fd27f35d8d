"""What moving and growing disks needs of storage beside what every VM service does."""

from collections.abc import Callable, Sequence
from typing import Protocol

from horcrux.ids import PoolId
from horcrux.storage.volume import Volume, VolumeUse


class DiskVolumes(Protocol):
    """`agent.storage.disk_volumes` is the implementation."""

    def format_for(self, pool_id: PoolId, wanted: str | None, now: str) -> str:
        """Of a new volume: `wanted`, else `now` where the pool can, else its default. Invalid; NotFound for the pool."""
        ...

    async def exists(self, pool_id: PoolId, name: str) -> bool:
        """Whether there is one, or somebody holds the name."""
        ...

    async def find(self, pool_id: PoolId, name: str) -> Volume:
        """NotFound."""
        ...

    def use_of(self, pool_id: PoolId, name: str) -> VolumeUse | None:
        """Who holds a volume; from memory."""
        ...

    async def available_bytes(self, pool_id: PoolId) -> int | None:
        """What the pool has left for what is written; None where it cannot tell. Unavailable, with the reason, for one that
        cannot be reached."""
        ...

    async def reserve(
        self, user: str, wanted: Sequence[tuple[PoolId, str, int]], leaving: Sequence[tuple[PoolId, str]] = ()
    ) -> None:
        """As `agent.compute.ports.Disks.reserve`."""
        ...

    async def settle(self, volume: Volume) -> None:
        """What counts towards quotas is the size that the volume has."""
        ...

    async def make(self, pool_id: PoolId, name: str, capacity_bytes: int, format_: str) -> Volume:
        """An empty volume."""
        ...

    async def copy(
        self, source: tuple[PoolId, str], to: tuple[PoolId, str], format_: str, progress: Callable[[float], None]
    ) -> Volume:
        """A new volume `to` with the content of `source`, which nobody writes to. Cancellable."""
        ...

    async def grow(self, pool_id: PoolId, name: str, capacity_bytes: int) -> Volume:
        """It can hold that much. Not for files that a guest has open."""
        ...

    async def remove(self, pool_id: PoolId, name: str) -> None:
        """Gone, also when it was gone before, or with its pool."""
        ...
