"""What replication needs of its neighbours."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from horcrux.compute.vm import Disk
from horcrux.ids import VmId

DisksOf = Callable[[str], Sequence[Disk]]
"""The disks of a VM; NotFound."""


class Freezer(Protocol):
    def frozen(self, vm_id: VmId) -> AbstractAsyncContextManager[bool]:
        """Inside, the guest's file systems stand still when it is True; when the guest cannot do that, it is False. Thawed
        at the end, whatever happens."""
        ...


class NoFreezer:
    """For hypervisors that cannot reach the guest's agent: snapshots are as after a power cut."""

    @asynccontextmanager
    async def frozen(self, vm_id: VmId) -> AsyncIterator[bool]:
        yield False
