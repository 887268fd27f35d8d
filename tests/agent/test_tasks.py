import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from agent.events import EventBus
from agent.faults import never
from agent.journal import Journal, TaskFilter
from agent.task_locks import TaskLocks
from agent.tasks import TaskEngine, TaskOrder, TaskRun
from cluster.store.memory import MemoryStore
from horcrux.auth.permission import Scope
from horcrux.errors import Busy, Conflict, Invalid, InvalidFields, NotFound, Unavailable, invalid_field
from horcrux.ids import TaskId, UserName
from horcrux.tasks import TaskState
from tests.support.clock import FakeClock

ANN = UserName("ann")


class Bench:
    """An engine on a real journal, with what it undid written down."""

    def __init__(self, journal: Journal, store: MemoryStore, clock: FakeClock) -> None:
        self.clock = clock
        self.bus = EventBus("boot", clock)
        self.journal = journal
        self.undone: list[Mapping[str, str]] = []
        self.undo_fails = False
        locks = TaskLocks(store, "n1", clock)
        self.engine = TaskEngine(journal, locks, self.bus, node="n1", clock=clock, entropy=os.urandom, failpoint=never)
        self.engine.recovery("note", self._note)

    async def _note(self, args: Mapping[str, str]) -> None:
        if self.undo_fails:
            raise Unavailable("the disk does not answer")
        self.undone.append(args)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.aclose()


@pytest.fixture
async def bench(journal: Journal) -> AsyncIterator[Bench]:
    clock = FakeClock()
    bench = Bench(journal, MemoryStore(clock), clock)
    await bench.engine.start()
    yield bench
    await bench.engine.aclose(patience_s=0)


def order(*locks: str, wait_s: int = 0) -> TaskOrder:
    return TaskOrder(action="vm.start", target="vm/a", user=ANN, locks=locks, wait_s=wait_s)


async def test_a_task_that_ends_well_keeps_its_result_and_log(bench: Bench) -> None:
    async def body(run: TaskRun) -> Mapping[str, object]:
        await run.stage("looking", 0.5)
        run.warn("the disk is old")
        return {"id": "a"}

    submitted = await bench.engine.submit(order(), body)
    assert submitted.state is TaskState.QUEUED
    task = await bench.engine.wait(submitted.id)
    assert (task.state, task.result, task.progress) == (TaskState.COMPLETED, {"id": "a"}, 1.0)
    assert task.warnings == ("the disk is old",)
    assert [line.text for line in await bench.engine.log_of(task.id)] == ["looking", "warning: the disk is old"]


async def test_a_failing_body_is_undone_in_reverse_and_its_cause_is_kept(bench: Bench) -> None:
    async def body(run: TaskRun) -> None:
        await run.undo("note", step="1")
        await run.undo("note", step="2")
        raise invalid_field("disks[0].size_gb", "too large")

    task = await bench.engine.wait((await bench.engine.submit(order(), body)).id)
    assert task.state is TaskState.FAILED
    assert task.error is not None
    assert task.error.code == InvalidFields.code
    assert "disks[0].size_gb: too large" in task.error.message
    assert bench.undone == [{"step": "2"}, {"step": "1"}]
    assert await bench.journal.recoveries(task.id) == []


async def test_what_was_committed_is_not_undone(bench: Bench) -> None:
    async def body(run: TaskRun) -> None:
        await run.undo("note", step="1")
        await run.commit()
        raise Conflict("too late")

    await bench.engine.wait((await bench.engine.submit(order(), body)).id)
    assert bench.undone == []


async def test_a_fault_of_ours_fails_the_task_without_telling_its_insides(bench: Bench) -> None:
    async def body(_run: TaskRun) -> None:
        raise ZeroDivisionError("secret")

    task = await bench.engine.wait((await bench.engine.submit(order(), body)).id)
    assert task.error is not None
    assert task.error.code == "internal"
    assert "secret" not in task.error.message


async def test_a_held_lock_is_busy_and_names_the_task_that_holds_it(bench: Bench) -> None:
    release = asyncio.Event()

    async def body(_run: TaskRun) -> None:
        await release.wait()

    first = await bench.engine.submit(order("vm/a"), body)
    with pytest.raises(Busy, match=first.id) as refused:
        await bench.engine.submit(order("vm/a"), body)
    assert refused.value.details["task"] == first.id
    assert refused.value.details["user"] == "ann"
    assert bench.engine.running_on("vm/a") == first.id
    release.set()
    await bench.engine.wait(first.id)
    assert bench.engine.running_on("vm/a") is None
    second = await bench.engine.submit(order("vm/a"), body)
    assert (await bench.engine.wait(second.id)).state is TaskState.COMPLETED


async def test_with_wait_s_a_task_queues_behind_the_holder(bench: Bench) -> None:
    release = asyncio.Event()
    done = []

    async def slow(_run: TaskRun) -> None:
        await release.wait()
        done.append("first")

    async def quick(_run: TaskRun) -> None:
        done.append("second")

    await bench.engine.submit(order("vm/a"), slow)
    second = await bench.engine.submit(order("vm/a", wait_s=30), quick)
    assert (await bench.engine.get(second.id)).state is TaskState.QUEUED
    release.set()
    assert (await bench.engine.wait(second.id)).state is TaskState.COMPLETED
    assert done == ["first", "second"]


async def test_no_lock_is_kept_when_one_of_several_is_held(bench: Bench) -> None:
    release = asyncio.Event()

    async def body(_run: TaskRun) -> None:
        await release.wait()

    await bench.engine.submit(order("b"), body)
    with pytest.raises(Busy):
        await bench.engine.submit(order("a", "b"), body)
    third = await bench.engine.submit(order("a"), body)
    release.set()
    assert (await bench.engine.wait(third.id)).state is TaskState.COMPLETED


async def test_cancelling_undoes_and_says_who(bench: Bench) -> None:
    began = asyncio.Event()

    async def body(run: TaskRun) -> None:
        await run.undo("note", step="1")
        began.set()
        await asyncio.Event().wait()

    task = await bench.engine.submit(order("vm/a"), body)
    await began.wait()
    await bench.engine.cancel(task.id, UserName("bob"))
    ended = await bench.engine.wait(task.id)
    assert ended.state is TaskState.CANCELLED
    assert ended.error is not None
    assert "bob" in ended.error.message
    assert bench.undone == [{"step": "1"}]
    assert bench.engine.running_on("vm/a") is None
    with pytest.raises(Conflict, match="over already"):
        await bench.engine.cancel(task.id, ANN)


async def test_a_task_is_shown_as_ended_only_when_its_locks_are_free(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_free = asyncio.Event()
    is_freeing = asyncio.Event()
    free = TaskLocks.free

    async def slow(locks: TaskLocks, held: dict[str, int]) -> None:
        is_freeing.set()
        await may_free.wait()
        await free(locks, held)

    async def body(_: TaskRun) -> None:
        return

    monkeypatch.setattr(TaskLocks, "free", slow)
    task = await bench.engine.submit(order("vm/a"), body)
    await is_freeing.wait()
    try:
        assert (await bench.engine.get(task.id)).state is TaskState.RUNNING
        assert [t.state for t in await bench.engine.recent(TaskFilter(), 10, None)] == [TaskState.RUNNING]
    finally:
        may_free.set()
    assert (await bench.engine.wait(task.id)).state is TaskState.COMPLETED
    assert bench.engine.running_on("vm/a") is None


async def test_a_task_cancelled_before_it_began_never_runs(bench: Bench) -> None:
    ran = []

    async def body(_run: TaskRun) -> None:
        ran.append(1)

    task = await bench.engine.submit(order(), body)
    await bench.engine.cancel(task.id, ANN)
    assert (await bench.engine.wait(task.id)).state is TaskState.CANCELLED
    assert ran == []


async def test_progress_never_goes_back_and_stays_within_one(bench: Bench) -> None:
    seen = []

    async def body(run: TaskRun) -> None:
        for fraction in (0.5, 0.2, 7.0):
            run.progress(fraction)
            seen.append(run.task.progress)

    await bench.engine.wait((await bench.engine.submit(order(), body)).id)
    assert seen == [0.5, 0.5, 1.0]


async def test_every_change_of_a_task_is_told(bench: Bench) -> None:
    async def body(run: TaskRun) -> None:
        await run.stage("half way")

    with bench.bus.listen(lambda scope: scope is Scope.TASK_READ, None) as listener:
        await bench.engine.wait((await bench.engine.submit(order(), body)).id)
        states = []
        while (event := await listener.next(0)) is not None:
            assert event.data is not None
            states.append((event.data["state"], event.data["stage"]))
    assert states == [("queued", ""), ("running", ""), ("running", "half way"), ("completed", "")]


async def test_lists_are_newest_first_filtered_and_paged(bench: Bench) -> None:
    async def good(_run: TaskRun) -> None:
        return None

    async def bad(_run: TaskRun) -> None:
        raise Conflict("no")

    ids = []
    for body in (good, bad, good):
        bench.clock.advance(1)
        ids.append((await bench.engine.submit(order(), body)).id)
    for id_ in ids:
        await bench.engine.wait(id_)
    newest = await bench.engine.recent(TaskFilter(), 2, None)
    assert [t.id for t in newest] == [ids[2], ids[1]]
    assert [t.id for t in await bench.engine.recent(TaskFilter(), 2, newest[-1].id)] == [ids[0]]
    assert [t.id for t in await bench.engine.recent(TaskFilter(state="failed"), 9, None)] == [ids[1]]


async def test_unknown_tasks_are_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.engine.get(TaskId("no"))
    with pytest.raises(NotFound):
        await bench.engine.log_of(TaskId("no"))
    with pytest.raises(NotFound):
        await bench.engine.cancel(TaskId("no"), ANN)


async def test_an_undo_that_fails_is_a_warning_and_is_done_at_the_next_start(journal: Journal) -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    first = Bench(journal, store, clock)
    await first.engine.start()
    first.undo_fails = True

    async def body(run: TaskRun) -> None:
        await run.undo("note", step="1")
        raise Conflict("no")

    task = await first.engine.wait((await first.engine.submit(order(), body)).id)
    assert any("could not undo note" in w for w in task.warnings)
    second = Bench(journal, store, clock)
    await second.engine.start()
    assert second.undone == [{"step": "1"}]
    assert await journal.unfinished() == []


async def test_what_ran_when_the_agent_died_is_undone_and_closed_with_the_reason(journal: Journal) -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    first = Bench(journal, store, clock)
    await first.engine.start()
    began = asyncio.Event()

    async def body(run: TaskRun) -> None:
        await run.undo("note", step="1")
        await run.stage("making disk0")
        began.set()
        await asyncio.Event().wait()

    task = await first.engine.submit(order("vm/a"), body)
    await began.wait()

    second = Bench(journal, store, clock)
    await second.engine.start()
    closed = await second.engine.get(task.id)
    assert closed.state is TaskState.FAILED
    assert closed.error is not None
    assert closed.error.code == "interrupted"
    assert "making disk0" in closed.error.message
    assert second.undone == [{"step": "1"}]
    again = await second.engine.submit(order("vm/a"), lambda run: run.stage("free again"))
    assert (await second.engine.wait(again.id)).state is TaskState.COMPLETED
    await first.engine.aclose(patience_s=0)


async def test_an_engine_that_closes_cuts_off_undoes_and_takes_nothing_more(journal: Journal) -> None:
    clock = FakeClock()
    bench = Bench(journal, MemoryStore(clock), clock)
    await bench.engine.start()
    began = asyncio.Event()

    async def body(run: TaskRun) -> None:
        await run.undo("note", step="1")
        began.set()
        await asyncio.Event().wait()

    task = await bench.engine.submit(order(), body)
    await began.wait()
    await bench.engine.aclose(patience_s=0)
    ended = await bench.engine.wait(task.id)
    assert ended.error is not None
    assert ended.error.code == "interrupted"
    assert bench.undone == [{"step": "1"}]
    with pytest.raises(Unavailable):
        await bench.engine.submit(order(), body)


def test_a_failpoint_must_name_an_action_and_a_step() -> None:
    from agent.faults import failpoint

    with pytest.raises(Invalid, match="action"):
        failpoint("vm.create")
    with pytest.raises(Invalid, match="action"):
        failpoint("vm.create:0")


async def test_a_task_that_is_cut_off_twice_cleans_up_once_and_whole(bench: Bench) -> None:
    began, cleaning, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    cleaned: list[str] = []

    async def body(_run: TaskRun) -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await may_end.wait()
            cleaned.append("whole")

    task = await bench.engine.submit(order(), body)
    await began.wait()
    await bench.engine.cancel(task.id, ANN)
    await cleaning.wait()
    bench.engine.cut_all()
    await asyncio.sleep(0)
    may_end.set()
    assert (await bench.engine.wait(task.id)).state is TaskState.CANCELLED
    assert cleaned == ["whole"]
