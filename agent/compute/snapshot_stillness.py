"""Keeps a guest still while its disks are taken, and never longer than we live.

    frozen:  record `vm.thaw` -> freeze (by the guest agent) -> work -> thaw
    held:    record `vm.release` -> hold (its processors) -> work -> release

Whatever happens to the work, the guest goes on: at its end, by the driver's own watch when this process dies, and once more when
the next life of the agent undoes what was recorded.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto

from agent.compute.driver import GuestSnapshots
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.errors import NotFound, Unavailable
from horcrux.ids import VmId

Work = Callable[[], Awaitable[None]]


class Stood(Enum):
    """Whether file systems stood still while something was done."""

    THROUGHOUT = auto()
    BROKEN = auto()
    """It was done, but they were let go before its end."""
    NEVER = auto()
    """It was not begun."""


class Stillness:
    def __init__(self, guests: GuestSnapshots, tasks: TaskSubmitter) -> None:
        self._guests = guests
        tasks.recovery("vm.thaw", self._thaw_again)
        tasks.recovery("vm.release", self._release_again)

    async def frozen(self, run: TaskRun, vm_id: VmId, work: Work) -> Stood:
        """`work` is done while the guest's file systems stand still, or, when its agent fails to freeze them, not begun."""
        await run.undo("vm.thaw", id=vm_id)
        await run.stage("freezing the guest's file systems")
        is_frozen = stood = False
        try:
            try:
                await self._guests.freeze(vm_id)
                is_frozen = True
            except Unavailable as err:
                run.warn(f"the guest's file systems could not be frozen: {err}")
            if is_frozen:
                await work()
        finally:
            stood = await self._guests.thaw(vm_id)
        if not is_frozen:
            return Stood.NEVER
        return Stood.THROUGHOUT if stood else Stood.BROKEN

    async def held(self, run: TaskRun, vm_id: VmId, work: Work) -> None:
        """`work` is done while the guest's processors stood still."""
        await run.undo("vm.release", id=vm_id)
        await run.stage("holding the guest still", 0.2)
        try:
            await self._guests.hold(vm_id)
            await work()
        finally:
            await self._guests.release(vm_id)

    async def _thaw_again(self, args: Mapping[str, str]) -> None:
        try:
            await self._guests.thaw(VmId(args["id"]))
        except NotFound:
            return  # it is gone, and what was frozen with it

    async def _release_again(self, args: Mapping[str, str]) -> None:
        try:
            await self._guests.release(VmId(args["id"]))
        except NotFound:
            return
