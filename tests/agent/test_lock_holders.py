"""Who holds a task lock, and what a new life of a node may free."""

import pytest

from agent.task_locks import TaskLocks
from cluster.store.memory import MemoryStore
from horcrux.errors import Busy
from horcrux.ids import TaskId, UserName
from horcrux.tasks import Task
from tests.support.clock import FakeClock


def task(name: str) -> Task:
    return Task(id=TaskId(name), action="vm.start", target="vm/a", node="n1", user=UserName("ann"), created_at=7.5)


async def test_a_holder_is_named_with_its_task_action_user_and_time() -> None:
    clock = FakeClock()
    locks = TaskLocks(MemoryStore(clock), "n1", clock)
    await locks.start()
    await locks.take_now(task("t1"), ["vm/a"])
    with pytest.raises(Busy) as refused:
        await locks.take_now(task("t2"), ["vm/a"])
    assert refused.value.details == {"task": "t1", "action": "vm.start", "user": "ann", "node": "n1", "since": 7}


async def test_a_new_life_frees_only_what_its_own_node_held() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    for node, name in (("n1", "vm/a"), ("n2", "vm/b")):
        earlier = TaskLocks(store, node, clock)
        await earlier.start()
        await earlier.take_now(task(node), [name])
    locks = TaskLocks(store, "n1", clock)
    await locks.start()
    await locks.take_now(task("t"), ["vm/a"])
    with pytest.raises(Busy):
        await locks.take_now(task("t"), ["vm/b"])
