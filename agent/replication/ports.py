"""What replication needs of its neighbours."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from agent.tasks import TaskRun
from horcrux.compute.vm import Disk
from horcrux.ids import VmId

DisksOf = Callable[[str], Sequence[Disk]]
"""The disks of a VM; NotFound."""
Work = Callable[[], Awaitable[None]]


class Freezer(Protocol):
    async def quietly(self, run: TaskRun, vm_id: VmId, work: Work) -> bool:
        """`work` is done, while the guest's file systems stand still where that can be had. True when they did, from its
        beginning to its end, or nobody could write to them."""
        ...
