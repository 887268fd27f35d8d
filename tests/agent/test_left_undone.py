"""What could not be undone when its task ended is undone later, and never harms what has been made since."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from agent.events import EventBus
from agent.faults import never
from agent.journal import Journal
from agent.task_locks import TaskLocks
from agent.tasks import TaskEngine, TaskOrder, TaskRun
from cluster.store.memory import MemoryStore
from horcrux.errors import Conflict, Unavailable
from horcrux.ids import UserName
from horcrux.tasks import TaskState
from tests.support.clock import FakeClock

LOCK = "volume/local/data"


class Volume:
    """One volume, and a disk below it that may be away."""

    def __init__(self) -> None:
        self.is_there = False
        self.is_disk_away = False
        self.undone = asyncio.Event()

    async def undo(self, _args: Mapping[str, str]) -> None:
        if self.is_disk_away:
            raise Unavailable("the disk does not answer")
        self.is_there = False
        self.undone.set()


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.aclose()


async def started(journal: Journal, volume: Volume) -> TaskEngine:
    clock = FakeClock()
    locks = TaskLocks(MemoryStore(clock), "n1", clock)
    bus = EventBus("boot", clock)
    engine = TaskEngine(journal, locks, bus, node="n1", clock=clock, entropy=os.urandom, failpoint=never)
    engine.recovery("volume.delete", volume.undo)
    await engine.start()
    return engine


async def made(engine: TaskEngine, volume: Volume, *, fails: bool) -> TaskState:
    """How a task ended that makes the volume."""

    async def body(run: TaskRun) -> None:
        await run.undo("volume.delete", pool="local", name="data")
        if fails:
            raise Conflict("no")
        volume.is_there = True
        await run.commit()

    order = TaskOrder(action="volume.create", target="volume/data", user=UserName("ann"), locks=(LOCK,))
    return (await engine.wait((await engine.submit(order, body)).id)).state


async def test_what_an_earlier_task_left_is_not_undone_over_what_a_later_one_made(journal: Journal) -> None:
    volume = Volume()
    engine = await started(journal, volume)
    volume.is_disk_away = True
    assert await made(engine, volume, fails=True) is TaskState.FAILED
    volume.is_disk_away = False
    assert await made(engine, volume, fails=False) is TaskState.COMPLETED
    await started(journal, volume)
    assert volume.is_there


async def test_a_retry_looks_again_at_what_is_left_once_it_has_the_locks(journal: Journal) -> None:
    volume = Volume()
    engine = await started(journal, volume)
    volume.is_disk_away = True
    assert await made(engine, volume, fails=True) is TaskState.FAILED
    ((task, steps),) = await journal.unfinished()
    volume.is_disk_away = False
    assert await made(engine, volume, fails=False) is TaskState.COMPLETED
    assert steps, "seen before the later task had the lock"
    assert await engine.recoveries.again(task)
    assert volume.is_there


async def test_what_is_left_is_undone_when_the_host_is_back(journal: Journal) -> None:
    volume = Volume()
    engine = await started(journal, volume)
    volume.is_disk_away = True
    assert await made(engine, volume, fails=True) is TaskState.FAILED
    trying = asyncio.create_task(engine.recoveries.keep_trying())
    volume.is_disk_away = False
    engine.recoveries.nudge()
    async with asyncio.timeout(10):
        await volume.undone.wait()
    trying.cancel()
    await asyncio.wait([trying])


async def test_a_step_that_was_undone_is_not_undone_again_while_another_fails(journal: Journal) -> None:
    volume = Volume()
    engine = await started(journal, volume)
    thawed = []

    async def thaw(args: Mapping[str, str]) -> None:
        thawed.append(args["id"])

    engine.recovery("vm.thaw", thaw)

    async def body(run: TaskRun) -> None:
        await run.undo("volume.delete", pool="local", name="data")
        await run.undo("vm.thaw", id="vm-1")
        raise Conflict("no")

    volume.is_disk_away = True
    order = TaskOrder(action="vm.snapshot", target="vm/vm-1", user=UserName("ann"), locks=(LOCK,))
    task = await engine.wait((await engine.submit(order, body)).id)
    assert not await engine.recoveries.again(task)
    assert thawed == ["vm-1"]
    volume.is_disk_away = False
    assert await engine.recoveries.again(task)
    assert thawed == ["vm-1"]
