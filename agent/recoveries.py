"""How what a task began is undone: when its body fails, at the next start when the agent died under it, and again for as
long as the host does not let us (libvirt is down, a pool is not there).

undo fails -> kept in the journal -> after 5, 10, … 60 s, or at once when the host is back: locks -> undo -> forgotten
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from agent.journal import Journal
from agent.task_locks import TaskLocks
from horcrux.clock import Clock
from horcrux.errors import Busy, HorcruxError
from horcrux.tasks import LogLine, Recovery, Task

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 5.0, 60.0

RecoveryFn = Callable[[Mapping[str, str]], Awaitable[None]]
"""Undoes one step. Idempotent, and succeeds when the step never happened."""


class Recoveries:
    """What each kind of recovery does, and what could not be undone yet."""

    def __init__(self, journal: Journal, locks: TaskLocks, clock: Clock) -> None:
        self._journal = journal
        self._locks = locks
        self._clock = clock
        self._fns: dict[str, RecoveryFn] = {}
        self._some_left = asyncio.Event()
        self._nudged = asyncio.Event()

    def register(self, kind: str, fn: RecoveryFn) -> None:
        """Steps of this kind are undone by `fn`. Once a kind, before any task runs."""
        if kind in self._fns:
            raise RuntimeError(f"recovery {kind} is registered twice")
        self._fns[kind] = fn

    def known(self, recovery: Recovery) -> RecoveryFn:
        """KeyError for a kind that nobody registered: a fault of ours, told before the act that would need it."""
        return self._fns[recovery.kind]

    async def undo(self, task: Task, recoveries: Sequence[Recovery]) -> list[str]:
        """Runs them in reverse; a sentence for each that failed. While some are left, those that succeeded are forgotten: done
        again they would meet what others have made since. Who calls forgets the rest, or says `leave`."""
        failures, done = [], list[Recovery]()
        for recovery in reversed(recoveries):
            try:
                await self.known(recovery)(recovery.args)
                done.append(recovery)
            except HorcruxError as err:
                log.warning("task %s: undo %s %s failed: %s", task.id, recovery.kind, recovery.args, err)
                failures.append(f"could not undo {recovery.kind} {recovery.args}: {err}; it is tried again")
            except Exception as err:
                log.exception("task %s: undo %s %s failed by a fault of ours", task.id, recovery.kind, recovery.args)
                failures.append(f"could not undo {recovery.kind} {recovery.args}: {err}; it is tried again")
        if failures:
            await self._forget(task, done)
        return failures

    async def _forget(self, task: Task, done: Sequence[Recovery]) -> None:
        try:
            for recovery in done:
                await self._journal.forget_recovery(task.id, recovery)
        except Exception:
            log.exception("task %s: what has been undone could not be written down, and is undone again", task.id)

    def leave(self) -> None:
        """The journal holds recoveries of a task that is over: they are tried again."""
        self._some_left.set()

    def nudge(self) -> None:
        """What is left is tried again now: what stood in the way may be gone."""
        self._nudged.set()

    @property
    def is_nudged(self) -> bool:
        """A nudge has not been taken up yet."""
        return self._nudged.is_set()

    async def keep_trying(self) -> None:
        """Until cancelled. Does nothing while nothing is left."""
        retry_s = FIRST_RETRY_S
        while True:
            await self._some_left.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(retry_s):
                    await self._nudged.wait()
            self._nudged.clear()
            self._some_left.clear()
            try:
                done = [await self.again(task) for task, _ in await self._journal.unfinished()]
            except HorcruxError as err:
                log.warning("what is left to be undone cannot be looked at: %s", err)
                done = [False]
            if all(done):
                retry_s = FIRST_RETRY_S
            else:
                self._some_left.set()
                retry_s = min(2 * retry_s, LAST_RETRY_S)

    async def again(self, task: Task) -> bool:
        """Whether nothing is left of it. A task that still runs looks after itself. What is left is read under its locks:
        a later task may have made anew what would be undone, and that is then no longer among it."""
        if not task.state.is_final:
            return True
        try:
            held = await self._locks.take_now(task, task.locks)
        except Busy:
            return False
        try:
            if await self.undo(task, await self._journal.recoveries(task.id)):
                return False
            words = "what was left of it has been undone"
            await self._journal.add_log(task.id, [LogLine(self._clock.now(), words)])
            await self._journal.finish_task(task, forget_recoveries=True)
            log.info("task %s (%s %s): %s", task.id, task.action, task.target, words)
            return True
        finally:
            await self._locks.free(held)
