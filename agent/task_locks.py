"""Locks of tasks: Store locks under one lease of this agent life, each holding the name of its task.

A lock dies with its task (unlock), with the agent (the next life revokes what this node left) and, should the node stay
away, with the lease. So no lock outlives what it protects, and whoever is refused learns which task is in the way.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from horcrux.clock import Clock
from horcrux.errors import Busy, HorcruxError
from horcrux.ids import TaskId
from horcrux.store import Lease, LeaseLost, Store, lock_key
from horcrux.tasks import Task

log = logging.getLogger(__name__)

LEASE_TTL_S = 30
KEEPALIVE_S = 5


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a lock's key."""

    task: TaskId
    action: str
    user: str
    node: str
    since: float
    lock: str


class TaskLocks:
    """`node` marks what is ours. Call `start()` before the first lock, and keep `keep_alive()` running."""

    def __init__(self, store: Store, node: str, clock: Clock) -> None:
        self._store = store
        self._node = node
        self._clock = clock
        self._lease: Lease | None = None

    async def start(self) -> None:
        """What an earlier life of this node held is free; a fresh lease is there."""
        entries, _ = await self._store.list(lock_key(""))
        for entry in entries:
            if msgspec.json.decode(entry.value, type=Holder).node == self._node:
                await self._store.revoke_lease(entry.lease)
        self._lease = await self._store.lease(LEASE_TTL_S)

    async def keep_alive(self, on_lost: Callable[[], None]) -> None:
        """Runs until cancelled. When the lease was lost (the host slept too long) `on_lost` is called, since nothing
        that was held can be relied on, and a fresh lease is taken."""
        while True:
            await self._clock.sleep(KEEPALIVE_S)
            try:
                await self._keep_lease(on_lost)
            except HorcruxError as err:  # a full disk: tried again, and what needs a lock is refused until then
                log.warning("the lease of this node's task locks could not be kept: %s", err)

    async def _keep_lease(self, on_lost: Callable[[], None]) -> None:
        try:
            await self.lease.keepalive()
        except LeaseLost:
            log.warning("the lease of this node's task locks ran out; running tasks are cut off")
            on_lost()
            self._lease = await self._store.lease(LEASE_TTL_S)

    @property
    def lease(self) -> Lease:
        if self._lease is None:
            raise LeaseLost("the task engine has not been started")
        return self._lease

    async def take_now(self, task: Task, names: Sequence[str]) -> dict[str, int]:
        """Name -> fencing token of all of them; Busy, naming the task in the way, when one is held (then none is kept)."""
        held: dict[str, int] = {}
        try:
            for name in sorted(names):
                token = await self._store.try_lock(name, self.lease, self._holder(task, name))
                if token is None:
                    raise await self._busy(name)
                held[name] = token
        except BaseException:
            await self.free(held)
            raise
        return held

    async def take(self, task: Task, names: Sequence[str], wait_s: float) -> dict[str, int]:
        """As `take_now`, but waits up to `wait_s` in the queue of each."""
        held: dict[str, int] = {}
        name = ""
        try:
            async with asyncio.timeout(wait_s):
                for name in sorted(names):
                    held[name] = await self._store.lock(name, self.lease, self._holder(task, name))
        except TimeoutError:
            await self.free(held)
            raise await self._busy(name) from None
        except BaseException:
            await self.free(held)
            raise
        return held

    async def free(self, held: dict[str, int]) -> None:
        for name, token in held.items():
            await self._store.unlock(name, token)

    def _holder(self, task: Task, name: str) -> bytes:
        return msgspec.json.encode(
            Holder(task=task.id, action=task.action, user=task.user, node=self._node, since=task.created_at, lock=name)
        )

    async def _busy(self, name: str) -> Busy:
        entry = await self._store.get(lock_key(name))
        if entry is None:
            return Busy(f"{name} was held by another task a moment ago; try again")
        holder = msgspec.json.decode(entry.value, type=Holder)
        return Busy(
            f"{name} is held by task {holder.task} ({holder.action}, asked for by {holder.user}); "
            f"wait for it, cancel it, or send wait_s to queue behind it",
            task=holder.task,
            action=holder.action,
            user=holder.user,
            node=holder.node,
            since=int(holder.since),
        )
