"""What a kind of pool must be able to do. Implementations: `libvirt_pool.py` (dir now), `fake.py`; ZFS comes beside them.

One driver object serves every pool of its types. Names have been checked before they come here. Every `create` may be cut
off at any point: whatever it leaves, `delete_volume` of the same name removes.
"""

from collections.abc import Callable
from typing import Protocol

from horcrux.storage.pool import PoolDocument, PoolSeen
from horcrux.storage.volume import Volume

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

    async def create_volume(self, pool: PoolDocument, name: str, capacity_bytes: int, format_: str) -> Volume:
        """An empty, thin volume. AlreadyExists."""
        ...

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        """A new volume with the content of the file `source`, converted; holes stay holes. AlreadyExists.
        Cancellable: the copying process is ended, what it wrote stays for `delete_volume`."""
        ...

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        """It can hold `capacity_bytes`; Conflict when it is larger already (we never shrink)."""
        ...

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        """Gone, also when it was gone before."""
        ...
