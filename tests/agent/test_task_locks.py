"""Locks of tasks on a store that fails in the middle."""

import asyncio

import pytest

from agent.task_locks import KEEPALIVE_S, LEASE_TTL_S, TaskLocks
from cluster.store.leases import HeldLease
from cluster.store.memory import MemoryStore
from horcrux.errors import NoSpace
from horcrux.ids import TaskId, UserName
from horcrux.store import Lease
from horcrux.tasks import Task
from tests.support.clock import FakeClock

TASK = Task(id=TaskId("1"), action="vm.start", target="vm/a", node="n1", user=UserName("ann"), created_at=1.0)


class FullDisk(MemoryStore):
    """A store whose disk is full from time to time."""

    full_for = ""
    """The lock that cannot be written down."""
    grants_no_lease = False

    async def try_lock(self, name: str, lease: Lease, holder: bytes = b"") -> int | None:
        if name == self.full_for:
            raise NoSpace("the disk is full")
        return await super().try_lock(name, lease, holder)

    async def lease(self, ttl_s: int) -> HeldLease:
        if self.grants_no_lease:
            raise NoSpace("the disk is full")
        return await super().lease(ttl_s)


async def test_a_lock_that_cannot_be_written_down_leaves_none_of_the_others_held() -> None:
    clock = FakeClock()
    store = FullDisk(clock)
    locks = TaskLocks(store, "n1", clock)
    await locks.start()
    store.full_for = "vm/b"
    with pytest.raises(NoSpace):
        await locks.take_now(TASK, ("vm/a", "vm/b"))
    assert set(await locks.take_now(TASK, ("vm/a",))) == {"vm/a"}


async def test_a_full_disk_does_not_end_the_keeping_of_the_lease() -> None:
    clock = FakeClock()
    store = FullDisk(clock)
    locks = TaskLocks(store, "n1", clock)
    await locks.start()
    lost = asyncio.Event()
    keeping = asyncio.create_task(locks.keep_alive(lost.set))
    store.grants_no_lease = True
    async with asyncio.timeout(10):
        while clock.sleepers < 2:
            await asyncio.sleep(0)
    clock.advance(LEASE_TTL_S + 1)
    async with asyncio.timeout(10):
        await lost.wait()
        while clock.sleepers == 0:
            assert not keeping.done()
            await asyncio.sleep(0)
    store.grants_no_lease = False
    dead = locks.lease
    clock.advance(KEEPALIVE_S)
    async with asyncio.timeout(10):
        while locks.lease is dead:
            await asyncio.sleep(0)
    assert set(await locks.take_now(TASK, ("vm/a",))) == {"vm/a"}
    keeping.cancel()
    await asyncio.wait([keeping])
