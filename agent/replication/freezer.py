"""Lets a guest's file systems stand still while its volumes get a snapshot.

stopped                                    -> nobody writes
its agent answers, no other task is at it  -> frozen -> work -> thawed
otherwise                                  -> work: as after a power cut
"""

from collections.abc import Callable

from agent.compute.driver import GuestSnapshots
from agent.compute.snapshot_stillness import Stillness, Stood
from agent.replication.ports import Work
from agent.tasks import TaskRun
from horcrux.compute.vm import OFF, RunState
from horcrux.ids import TaskId, VmId


class GuestFreezer:
    """`task_of` tells which task holds a lock: the snapshot of somebody else's must not be thawed by us."""

    def __init__(
        self,
        still: Stillness,
        guests: GuestSnapshots,
        *,
        state_of: Callable[[str], RunState],
        task_of: Callable[[str], TaskId | None],
    ) -> None:
        self._still = still
        self._guests = guests
        self._state_of = state_of
        self._task_of = task_of

    async def quietly(self, run: TaskRun, vm_id: VmId, work: Work) -> bool:
        if self._state_of(vm_id) in OFF:
            await work()
            return True
        why = await self._why_not(vm_id)
        if why is not None:
            run.log(f"the guest was not frozen ({why}): the snapshot is as after a power cut")
            await work()
            return False
        stood = await self._still.frozen(run, vm_id, work)
        if stood is Stood.NEVER:
            await work()
        elif stood is Stood.BROKEN:
            run.warn("the guest's file systems did not stay frozen: the snapshot is as after a power cut")
        return stood is Stood.THROUGHOUT

    async def _why_not(self, vm_id: VmId) -> str | None:
        """What keeps the guest from being frozen; None when nothing does."""
        by = self._task_of(f"vm/{vm_id}")
        if by is not None:
            return f"task {by} works on its VM"
        if await self._guests.has_agent(vm_id):
            return None
        return "it is paused" if self._state_of(vm_id) is RunState.PAUSED else "no guest agent answers"
