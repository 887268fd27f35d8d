"""Lets a guest's file systems stand still while its volumes get a snapshot.

stopped                                    -> nobody writes
its agent answers, no other task is at it  -> recorded -> frozen -> work -> thawed
otherwise                                  -> work: as after a power cut
"""

from collections.abc import Callable, Mapping

from agent.compute.driver import GuestSnapshots
from agent.replication.ports import Work
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute.vm import RunState
from horcrux.errors import NotFound, Unavailable
from horcrux.ids import TaskId, VmId

UNDO = "replication.thaw"


class GuestFreezer:
    """`task_of` tells which task holds a lock: the snapshot of somebody else's must not be thawed by us."""

    def __init__(
        self,
        guests: GuestSnapshots,
        tasks: TaskSubmitter,
        *,
        state_of: Callable[[str], RunState],
        task_of: Callable[[str], TaskId | None],
    ) -> None:
        self._guests = guests
        self._state_of = state_of
        self._task_of = task_of
        tasks.recovery(UNDO, self._thaw_again)

    async def quietly(self, run: TaskRun, vm_id: VmId, work: Work) -> bool:
        if self._state_of(vm_id) in {RunState.STOPPED, RunState.CRASHED}:
            await work()
            return True
        if self._task_of(f"vm/{vm_id}") is None and await self._guests.has_agent(vm_id):
            return await self._frozen(run, vm_id, work)
        run.log("the guest was not frozen (no guest agent answers): the snapshot is as after a power cut")
        await work()
        return False

    async def _frozen(self, run: TaskRun, vm_id: VmId, work: Work) -> bool:
        await run.undo(UNDO, id=vm_id)
        is_done = stood = False
        try:
            try:
                await self._guests.freeze(vm_id)
            except Unavailable as err:
                run.warn(f"the guest's file systems could not be frozen: {err}")
            else:
                await work()
                is_done = True
        finally:
            stood = await self._guests.thaw(vm_id)
        if not is_done:
            await work()
            return False
        if not stood:
            run.warn("the guest's file systems did not stay frozen: the snapshot is as after a power cut")
        return stood

    async def _thaw_again(self, args: Mapping[str, str]) -> None:
        try:
            await self._guests.thaw(VmId(args["id"]))
        except NotFound:
            return  # it is gone, and what was frozen with it
