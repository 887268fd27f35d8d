"""The task engine: every change runs here, is told from here, and is undone from here when the agent dies under it.

submit() -> queued (row in the journal) -> locks -> running -> body() -> completed
                                                '-> body raises -> undo in reverse -> failed | cancelled
next life: rows still queued or running -> their recoveries in reverse -> failed (`interrupted`) -> locks freed
An undo that fails is kept and tried again (`agent/recoveries.py`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from agent.events import Publisher
from agent.faults import Failpoint
from agent.journal import MAX_LOG_LINES, Journal, TaskFilter
from agent.recoveries import Recoveries, RecoveryFn
from agent.task_locks import TaskLocks
from agent.task_view import TaskView
from horcrux.auth.permission import Scope
from horcrux.clock import Clock
from horcrux.errors import Conflict, HorcruxError, Unavailable
from horcrux.ids import Entropy, TaskId, UserName, new_task_id
from horcrux.tasks import LogLine, Recovery, Task, TaskError, TaskState

log = logging.getLogger(__name__)

TELL_EVERY_S = 0.25
"""Progress is published at most this often."""


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


class TaskSubmitter(Protocol):
    """The part of the engine that services use (`TaskEngine` is the implementation)."""

    def recovery(self, kind: str, fn: RecoveryFn) -> None:
        """Registers how steps of this kind are undone. Once, before `start()`."""
        ...

    async def submit(self, order: TaskOrder, body: Body) -> Task:
        """The queued task; Busy at once when a lock is held and `wait_s` is 0. `body` runs on a task of the engine."""
        ...

    async def get(self, task_id: TaskId) -> Task:
        """As it is now; NotFound."""
        ...

    async def wait(self, task_id: TaskId) -> Task:
        """The task once it is over; NotFound."""
        ...

    async def cancel(self, task_id: TaskId, by: UserName) -> Task:
        """It has been asked to stop and will undo what it did. Conflict when it is over already."""
        ...


class _Run:
    """One running task: the only writer of its row."""

    def __init__(self, engine: "TaskEngine", task: Task, order: TaskOrder, body: Body) -> None:
        self.engine = engine
        self.order = order
        self.body = body
        self.recoveries: list[Recovery] = []
        self.held: dict[str, int] = {}
        self.done: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        self.runner: asyncio.Task[None] | None = None
        self.cancelled_by: UserName | None = None
        self.may_be_cut = False
        """Only while the body (or the wait for locks) runs: what comes before and after must not be torn."""
        self.is_cut = False
        self.is_ending = False
        self._task = task
        self._lines: list[LogLine] = []
        self._line_count = 0
        self._told_at = 0.0

    @property
    def task(self) -> Task:
        return self._task

    def log(self, text: str) -> None:
        self._line_count += 1
        if self._line_count < MAX_LOG_LINES:
            self._lines.append(LogLine(self.engine.clock.now(), text))
        elif self._line_count == MAX_LOG_LINES:
            self._lines.append(LogLine(self.engine.clock.now(), "… further lines were dropped"))

    def warn(self, text: str) -> None:
        self.change(warnings=(*self._task.warnings, text))
        self.log(f"warning: {text}")

    async def stage(self, text: str, progress: float | None = None) -> None:
        self.engine.failpoint(self._task.action)
        if progress is not None:
            self.progress(progress)
        self.change(stage=text)
        self.log(text)
        lines, self._lines = self._lines, []
        await self.engine.journal.put_stage(self._task, lines)
        self.engine.tell(self._task)

    def progress(self, fraction: float) -> None:
        fraction = min(1.0, max(fraction, self._task.progress))
        if fraction == self._task.progress:
            return
        self.change(progress=fraction)
        now = self.engine.clock.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self.engine.tell(self._task)

    async def undo(self, kind: str, **args: str) -> None:
        self.engine.failpoint(self._task.action)
        recovery = Recovery(kind, args)
        self.engine.recoveries.known(recovery)
        await self.engine.journal.add_recovery(self._task.id, len(self.recoveries), recovery)
        self.recoveries.append(recovery)
        self.engine.failpoint(self._task.action)

    async def commit(self) -> None:
        self.engine.failpoint(self._task.action)
        await self.engine.journal.forget_recoveries(self._task.id)
        self.recoveries.clear()
        self.engine.failpoint(self._task.action)

    async def flush_log(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            await self.engine.journal.add_log(self._task.id, lines)

    def cut(self) -> None:
        """The body gets a CancelledError at its next await, or never begins. Once: a second one would cut its cleaning up."""
        if self.may_be_cut and not self.is_cut and self.runner is not None:
            self.runner.cancel()
        self.is_cut = True

    def change(self, **values: object) -> None:
        self._task = msgspec.structs.replace(self._task, **values)


class TaskEngine:
    """Owns every running task. `node` is this node's name; `start()` recovers an earlier life and must end before the API
    opens."""

    def __init__(
        self,
        journal: Journal,
        locks: TaskLocks,
        bus: Publisher,
        *,
        node: str,
        clock: Clock,
        entropy: Entropy,
        failpoint: Failpoint,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.failpoint = failpoint
        self.recoveries = Recoveries(journal, locks, clock)
        self._locks = locks
        self._bus = bus
        self._node = node
        self._entropy = entropy
        self._runs: dict[TaskId, _Run] = {}
        self._heard: list[Callable[[Task], None]] = []
        self._is_closing = False

    def recovery(self, kind: str, fn: RecoveryFn) -> None:
        """Registers how steps of this kind are undone. Once, before `start()`."""
        self.recoveries.register(kind, fn)

    async def start(self) -> None:
        """Every task of an earlier life is over, what it left is undone, its locks are free."""
        for task, recoveries in await self.journal.unfinished():
            warnings = await self.recoveries.undo(task, recoveries)
            await self._close_interrupted(task, warnings)
        await self._locks.start()

    async def submit(self, order: TaskOrder, body: Body) -> Task:
        """The queued task; Busy at once when a lock is held and `wait_s` is 0. `body` runs on a task of the engine."""
        if self._is_closing:
            raise Unavailable("the agent is stopping; try again when it is back")
        now = self.clock.now()
        task = Task(
            id=new_task_id(now, self._entropy),
            action=order.action,
            target=order.target,
            node=self._node,
            user=order.user,
            locks=order.locks,
            created_at=now,
            request_id=order.request_id,
        )
        run = _Run(self, task, order, body)
        if not order.wait_s:
            run.held = await self._locks.take_now(task, order.locks)
        try:
            await self.journal.put_task(task)
        except BaseException:
            await self._locks.free(run.held)
            raise
        self._runs[task.id] = run
        self.tell(task)
        run.runner = asyncio.get_running_loop().create_task(self._drive(run), name=f"task {task.id}")
        return task

    async def wait(self, task_id: TaskId) -> Task:
        """The task once it is over; NotFound."""
        run = self._runs.get(task_id)
        return await asyncio.shield(run.done) if run else await self.journal.task(task_id)

    async def get(self, task_id: TaskId) -> Task:
        """As it is now; NotFound."""
        run = self._runs.get(task_id)
        return run.task if run else await self.journal.task(task_id)

    async def recent(self, wanted: TaskFilter, limit: int, after: str | None) -> list[Task]:
        """Newest first; running ones as they are now."""
        rows = await self.journal.tasks(wanted, limit, after)
        return [run.task if (run := self._runs.get(task.id)) else task for task in rows]

    async def log_of(self, task_id: TaskId) -> Sequence[LogLine]:
        await self.get(task_id)
        if run := self._runs.get(task_id):
            await run.flush_log()
        return await self.journal.log(task_id)

    async def cancel(self, task_id: TaskId, by: UserName) -> Task:
        """It has been asked to stop and will undo what it did. Conflict when it is over already."""
        task = await self.get(task_id)
        run = self._runs.get(task_id)
        if run is None or run.is_ending:
            raise Conflict(f"task {task_id} is over already: {task.state}")
        if run.cancelled_by is None:
            run.cancelled_by = by
            run.log(f"{by} asked it to stop")
            run.cut()
        return run.task

    def running_on(self, lock: str) -> TaskId | None:
        """The task of this node that holds the lock of that name."""
        return next((id_ for id_, run in self._runs.items() if lock in run.held), None)

    async def aclose(self, patience_s: float = 20.0) -> None:
        """No task runs: those that did not end within `patience_s` were cut off and undone."""
        self._is_closing = True
        runners = [run.runner for run in self._runs.values() if run.runner]
        if not runners:
            return
        await asyncio.wait(runners, timeout=patience_s)
        self.cut_all()
        await asyncio.wait(runners)

    def cut_all(self) -> None:
        """Every running task is cut off and undone."""
        for run in list(self._runs.values()):
            run.cut()

    def listen(self, heard: Callable[[Task], None]) -> None:
        """`heard` is called with every task whenever it changes."""
        self._heard.append(heard)

    def tell(self, task: Task) -> None:
        for heard in self._heard:
            heard(task)
        self._bus.publish("task", task.id, TaskView.of(task), Scope.TASK_READ)

    async def _drive(self, run: _Run) -> None:
        error: TaskError | None = None
        state = TaskState.COMPLETED
        result: Mapping[str, object] | None = None
        try:
            result = await self._perform(run)
        except asyncio.CancelledError:
            if run.runner is not None:
                run.runner.uncancel()  # heard: what follows (the undo) is not to be cut short by it
            state, error = self._why_cancelled(run)
        except HorcruxError as err:
            state, error = TaskState.FAILED, TaskError(err.code, str(err), msgspec.to_builtins(err.details))
        except Exception:
            log.exception("task %s (%s %s) failed by a fault of ours", run.task.id, run.task.action, run.task.target)
            sentence = f"internal fault while it was {run.task.stage or 'starting'}; the agent's log has the details"
            state, error = TaskState.FAILED, TaskError("internal", sentence)
        run.is_ending = True
        await self._finish(run, state, error, result)

    async def _perform(self, run: _Run) -> Mapping[str, object] | None:
        run.may_be_cut = True
        try:
            if run.is_cut:
                raise asyncio.CancelledError
            if run.order.wait_s:
                run.held = await self._locks.take(run.task, run.order.locks, run.order.wait_s)
            run.change(state=TaskState.RUNNING, started_at=self.clock.now())
            await self.journal.put_task(run.task)
            self.tell(run.task)
            self.failpoint(run.task.action)
            result = await run.body(run)
            self.failpoint(run.task.action)
            return result
        finally:
            run.may_be_cut = False

    def _why_cancelled(self, run: _Run) -> tuple[TaskState, TaskError]:
        if run.cancelled_by is not None:
            return TaskState.CANCELLED, TaskError("canceled", f"cancelled by {run.cancelled_by}")
        return TaskState.FAILED, TaskError("interrupted", "the agent was stopped while this ran")

    async def _finish(
        self, run: _Run, state: TaskState, error: TaskError | None, result: Mapping[str, object] | None
    ) -> None:
        left: list[str] = []
        if state is not TaskState.COMPLETED:
            left = await self.recoveries.undo(run.task, run.recoveries)
        for warning in left:
            run.warn(warning)
        if error is not None:
            run.log(f"{state}: {error.message}")
        # Kept aside until its locks are free: whoever sees it ended may go on at once with what it held.
        over = msgspec.structs.replace(run.task, state=state, error=error, finished_at=self.clock.now(), stage="")
        if state is TaskState.COMPLETED:
            over = msgspec.structs.replace(over, progress=1.0, result=dict(result) if result is not None else None)
        row = self.journal.finish_task(over, forget_recoveries=not left)
        for write in (run.flush_log(), row, self._locks.free(run.held)):
            try:
                await write
            except Exception:
                log.exception("task %s is over (%s), but that could not be written down", run.task.id, state)
        del self._runs[over.id]
        if left:
            self.recoveries.leave()
        self.tell(over)
        run.done.set_result(over)

    async def _close_interrupted(self, task: Task, warnings: Sequence[str]) -> None:
        if not task.state.is_final:
            was = f"while it was {task.stage}" if task.stage else "while it was queued or starting"
            message = f"the agent ended {was}; what had been begun was undone"
            task = msgspec.structs.replace(
                task,
                state=TaskState.FAILED,
                error=TaskError("interrupted", message),
                finished_at=self.clock.now(),
                warnings=(*task.warnings, *warnings),
            )
            await self.journal.add_log(task.id, [LogLine(self.clock.now(), message)])
            log.info("task %s (%s %s) closed: %s", task.id, task.action, task.target, message)
        await self.journal.finish_task(task, forget_recoveries=not warnings)
        if warnings:
            self.recoveries.leave()
        self.tell(task)
