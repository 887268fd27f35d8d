"""The task engine: every change runs here, is told from here, and is undone from here when the agent dies under it.

    submit() -> queued (row in the journal) -> locks -> running -> body() -> completed
                                                    '-> body raises -> undo in reverse -> failed | cancelled
    next life: rows still queued or running -> their recoveries in reverse -> failed (`interrupted`) -> locks freed
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from horcrux.ids import TaskId, UserName
from horcrux.tasks import Task


class TaskOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `locks` are names such as `vm/vm-100`, taken in order and held until the task is over;
    a lock that another task holds is Busy (naming that task) unless it comes free within `wait_s`."""

    action: str
    target: str
    user: UserName
    request_id: str = ""
    locks: tuple[str, ...] = ()
    wait_s: int = 0


class TaskRun(Protocol):
    """What a body gets to tell how it goes."""

    @property
    def task(self) -> Task: ...

    def log(self, text: str) -> None:
        """A line of the task's log; never a secret."""
        ...

    def warn(self, text: str) -> None:
        """A warning beside the result; also logged."""
        ...

    async def stage(self, text: str, progress: float | None = None) -> None:
        """What is done from now on."""
        ...

    def progress(self, fraction: float) -> None:
        """0..1; what is below the last one is ignored. Cheap: kept in memory, told at most a few times a second."""
        ...

    async def undo(self, kind: str, **args: str) -> None:
        """Before an act: how it is undone. Durable on return. `kind` has been registered with `TaskEngine.recovery`;
        the function must be idempotent and succeed when the act never happened."""
        ...

    async def commit(self) -> None:
        """What was done stands: the undo steps recorded so far are forgotten."""
        ...


Body = Callable[[TaskRun], Awaitable[Mapping[str, object] | None]]
"""Returns the result (the answer's body), or None."""
RecoveryFn = Callable[[Mapping[str, str]], Awaitable[None]]


class TaskSubmitter(Protocol):
    """The part of the engine that services use (`TaskEngine` is the implementation)."""

    def recovery(self, kind: str, fn: RecoveryFn) -> None:
        """Registers how steps of this kind are undone. Once, before `start()`."""
        ...

    async def submit(self, order: TaskOrder, body: Body) -> Task:
        """The queued task; Busy at once when a lock is held and `wait_s` is 0. `body` runs on a task of the engine."""
        ...

    async def wait(self, task_id: TaskId) -> Task:
        """The task once it is over; NotFound."""
        ...
