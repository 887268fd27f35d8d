import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from agent.journal import Journal
from agent.recoveries import Recoveries
from agent.task_locks import TaskLocks
from cluster.store.memory import MemoryStore
from horcrux.errors import Unreachable
from horcrux.ids import TaskId, UserName
from horcrux.tasks import Recovery, Task, TaskState
from tests.support.clock import FakeClock


class Bench:
    def __init__(self, journal: Journal) -> None:
        clock = FakeClock()
        self.journal = journal
        self.locks = TaskLocks(MemoryStore(clock), "n1", clock)
        self.recoveries = Recoveries(journal, self.locks, clock)
        self.recoveries.register("note", self._note)
        self.is_reachable = False
        self.tried = asyncio.Event()
        self.undone: list[Mapping[str, str]] = []

    async def _note(self, args: Mapping[str, str]) -> None:
        self.tried.set()
        if not self.is_reachable:
            raise Unreachable("libvirt does not answer")
        self.undone.append(args)

    async def leave(self, task: Task) -> None:
        """`task` is over, and something of it is left."""
        await self.journal.put_task(task)
        await self.journal.add_recovery(task.id, 0, Recovery("note", {"of": task.id}))
        self.recoveries.leave()

    async def until_forgotten(self) -> None:
        async with asyncio.timeout(5):
            while await self.journal.unfinished():
                await asyncio.sleep(0)


def over(name: str, state: TaskState = TaskState.FAILED) -> Task:
    return Task(
        id=TaskId(name),
        action="vm.create",
        target="vm/a",
        node="n1",
        user=UserName("ann"),
        locks=("vm/a",),
        state=state,
        created_at=1.0,
    )


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    journal = await Journal.open(tmp_path / "journal.db")
    bench = Bench(journal)
    await bench.locks.start()
    async with asyncio.TaskGroup() as group:
        trying = group.create_task(bench.recoveries.keep_trying())
        yield bench
        trying.cancel()
    await journal.aclose()


async def test_what_is_left_is_tried_at_a_nudge_until_it_succeeds(bench: Bench) -> None:
    await bench.leave(over("t1"))
    bench.recoveries.nudge()
    await bench.tried.wait()
    assert bench.undone == []
    bench.is_reachable = True
    bench.recoveries.nudge()
    await bench.until_forgotten()
    assert bench.undone == [{"of": "t1"}]
    assert [line.text for line in await bench.journal.log(TaskId("t1"))] == ["what was left of it has been undone"]
    assert (await bench.journal.task(TaskId("t1"))).state is TaskState.FAILED


async def test_what_somebody_works_on_is_left_alone_until_they_are_done(bench: Bench) -> None:
    bench.is_reachable = True
    other = over("other", TaskState.RUNNING)
    held = await bench.locks.take_now(other, ["vm/a"])
    await bench.leave(over("t1"))
    for _ in range(3):
        bench.recoveries.nudge()
        while bench.recoveries.is_nudged:
            await asyncio.sleep(0)
    assert bench.undone == []
    await bench.locks.free(held)
    bench.recoveries.nudge()
    await bench.until_forgotten()
    assert bench.undone == [{"of": "t1"}]


async def test_a_task_that_still_runs_looks_after_itself(bench: Bench) -> None:
    bench.is_reachable = True
    await bench.leave(over("runs", TaskState.RUNNING))
    await bench.leave(over("t2"))
    bench.recoveries.nudge()
    async with asyncio.timeout(5):
        while len(await bench.journal.unfinished()) > 1:
            await asyncio.sleep(0)
    assert bench.undone == [{"of": "t2"}]


async def test_a_kind_that_is_registered_twice_or_not_at_all_is_a_fault_of_ours(bench: Bench) -> None:
    with pytest.raises(RuntimeError, match="twice"):
        bench.recoveries.register("note", bench._note)
    with pytest.raises(KeyError):
        bench.recoveries.known(Recovery("unknown", {}))
