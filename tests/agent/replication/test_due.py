"""When runs begin by themselves, on a real store and task engine, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from agent.blocking import BlockingPool
from agent.peers.identity import open_identity
from agent.peers.service import Peers
from agent.replication.ports import Work
from agent.replication.pump import Pump
from agent.replication.scheduler import LOOK_EVERY_S, ReplicationScheduler
from agent.replication.service import Replications
from agent.replication.source import Source
from agent.tasks import TaskRun
from horcrux.compute.vm import Disk
from horcrux.errors import NotFound
from horcrux.ids import VmId
from horcrux.replication.bodies import ReplicationChange, ReplicationView
from horcrux.replication.peer import PeerName
from horcrux.replication.replication import ReplicationDocument, ReplicationId, ReplicationState
from horcrux.store import Collection
from tests.agent.storage.bench import ADA, NODE, Bench, running
from tests.support.auth import Heard
from tests.support.clock import FakeClock
from tests.support.waiting import eventually

ID = ReplicationId("web")


class Due:
    """Replications of a node whose VM `web` has no disks that could be sent."""

    def __init__(self, bench: Bench, replications: Replications, clock: FakeClock) -> None:
        self.bench = bench
        self.replications = replications
        self.clock = clock
        self.scheduler = ReplicationScheduler(replications, clock, ADA)

    def view(self) -> ReplicationView:
        return self.replications.view(ID)


class NeverAsked:
    """Nothing gets as far as a snapshot."""

    async def quietly(self, run: TaskRun, vm_id: VmId, work: Work) -> bool:
        raise AssertionError("a snapshot is taken")


def no_disks(vm_id: str) -> list[Disk]:
    raise NotFound(f"VM {vm_id} does not exist", kind="vm", id=vm_id)


async def services(folder: Path, bench: Bench, files: BlockingPool) -> Due:
    clock = FakeClock()
    identity = await files.run(open_identity, folder, NODE)
    peers = Peers(bench.store, identity, files, Heard(), clock)
    await peers.start()
    replications = Replications(
        bench.store,
        Source(bench.service.pools, None, no_disks),
        peers,
        bench.engine,
        Heard(),
        task_of=bench.engine.running_on,
        freezer=NeverAsked(),
        clock=clock,
        node=NODE,
        node_name="alpha",
    )
    document = ReplicationDocument(
        id=ID,
        vm_id=VmId("web"),
        node=NODE,
        peer=PeerName("other"),
        target_pool="tank",
        schedule="*/15 * * * *",
        created_at=clock.now(),
    )
    await Collection(bench.store, "replication", ReplicationDocument).create(ID, document)
    await replications.start()
    return Due(bench, replications, clock)


@pytest.fixture
async def due(tmp_path: Path) -> AsyncIterator[Due]:
    files = BlockingPool("files")
    async with running(tmp_path) as bench:
        yield await services(tmp_path, bench, files)
    await asyncio.to_thread(files.close)


async def test_nothing_is_due_before_its_time(due: Due) -> None:
    assert due.replications.due() == []
    due.clock.advance(15 * 60)
    assert due.replications.due() == [ID]


async def test_what_cannot_begin_is_told_and_tried_again_ever_more_seldom(due: Due) -> None:
    due.clock.advance(15 * 60)
    waits = []
    for _ in range(4):
        await due.scheduler.look()
        assert due.replications.due() == []
        view = due.view()
        assert (view.state, view.last_error) == ("failed", "VM web does not exist")
        assert view.next_run_at is not None
        waits.append(view.next_run_at - int(due.clock.now()))
        due.clock.advance(waits[-1])
        assert due.replications.due() == [ID]
    assert waits == [30, 60, 120, 240]


async def test_one_that_is_switched_off_is_never_due(due: Due) -> None:
    await due.replications.change(ID, ReplicationChange(is_enabled=False), None)
    due.clock.advance(1_000_000)
    assert due.replications.due() == []
    assert due.view().state == "disabled"


async def test_days_without_the_node_are_made_up_for_by_one_run(tmp_path: Path) -> None:
    files = BlockingPool("files")
    async with running(tmp_path) as bench:
        due = await services(tmp_path, bench, files)
        due.clock.advance(5 * 86400)
        assert due.replications.due() == [ID]
        ran = ReplicationState(id=ID, started_at=due.clock.now(), finished_at=due.clock.now())
        await Collection(bench.store, "replication-state", ReplicationState).create(ID, ran)
        await due.replications.start()
        assert due.replications.due() == []
        due.clock.advance(15 * 60)
        assert due.replications.due() == [ID]
    await asyncio.to_thread(files.close)


async def test_the_loop_looks_every_few_seconds(due: Due) -> None:
    loop = asyncio.create_task(due.scheduler.follow())
    try:
        await eventually(lambda: due.clock.sleepers == 1)
        due.clock.advance(15 * 60 - LOOK_EVERY_S)
        await eventually(lambda: due.clock.sleepers == 1)
        assert due.view().last_error is None
        due.clock.advance(LOOK_EVERY_S)
        await eventually(lambda: due.view().last_error is not None)
    finally:
        loop.cancel()


async def test_the_pump_holds_the_stream_to_its_limit() -> None:
    clock, counted, came = FakeClock(), list[int](), list[int]()
    pump = Pump(1000.0, clock, counted.append)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(1000)

    async def drain() -> None:
        async for piece in pump.through(pieces()):
            came.append(len(piece))

    def stands_before(piece: int) -> bool:
        return (clock.sleepers, len(came)) == (1, piece)

    draining = asyncio.create_task(drain())
    for second in range(4):
        await eventually(partial(stands_before, second))
        clock.advance(1.0)
    await draining
    assert counted == [1000] * 4


async def test_without_a_limit_the_pump_never_waits() -> None:
    clock = FakeClock()
    pump = Pump(None, clock, lambda _size: None)

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(10_000_000)

    assert [len(piece) async for piece in pump.through(pieces())] == [10_000_000]
