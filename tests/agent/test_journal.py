from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.journal import KEPT_TASKS, TRIM_EVERY_ROWS, Journal, TaskFilter
from horcrux.ids import TaskId, UserName
from horcrux.tasks import LogLine, Recovery, Task, TaskError, TaskState


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.aclose()


def task(number: int, state: TaskState = TaskState.COMPLETED) -> Task:
    return Task(
        id=TaskId(f"{number:08d}"),
        action="vm.start",
        target="vm/a",
        node="n",
        user=UserName("ann"),
        state=state,
        created_at=1.0,
    )


async def test_a_task_comes_back_as_it_was_put(journal: Journal) -> None:
    details: dict[str, object] = {"fields": [{"field": "name", "message": "no"}]}
    was = msgspec.structs.replace(
        task(1), error=TaskError("invalid_fields", "no", details), warnings=("w",), locks=("vm/a",)
    )
    await journal.put_task(was)
    assert await journal.task(was.id) == was


async def test_a_stage_is_kept_with_its_log_lines_so_that_the_next_life_knows_how_far_it_came(journal: Journal) -> None:
    begun = task(1, TaskState.RUNNING)
    await journal.put_task(begun)
    await journal.put_stage(msgspec.structs.replace(begun, stage="making disk0"), [LogLine(1.0, "making disk0")])
    [(found, recoveries)] = await journal.unfinished()
    assert (found.stage, recoveries) == ("making disk0", [])
    assert await journal.log(begun.id) == [LogLine(1.0, "making disk0")]


async def test_an_agent_that_runs_for_long_forgets_its_oldest_tasks_but_never_what_is_unfinished(
    journal: Journal,
) -> None:
    await journal.put_task(task(0, TaskState.RUNNING))
    await journal.put_task(task(1))
    await journal.add_recovery(TaskId("00000001"), 0, Recovery("k", {}))
    await journal.put_task(task(2))
    await journal.add_log(TaskId("00000002"), [LogLine(1.0, "x")])

    rows = [(f"{n:08d}", "completed", "vm/a", "ann", msgspec.json.encode(task(n))) for n in range(3, 4 + KEPT_TASKS)]
    await journal._db.write(
        lambda db: db.executemany("INSERT INTO task (id, state, target, user, body) VALUES (?,?,?,?,?)", rows)
    )
    for _ in range(TRIM_EVERY_ROWS):
        await journal.finish_task(task(9), forget_recoveries=False)
    oldest = [t.id for t in await journal.tasks(TaskFilter(), 3, "00000004")]
    assert oldest == ["00000003", "00000001", "00000000"]
    assert await journal.log(TaskId("00000002")) == []
