"""Group commit, isolation of callers from each other, and what is promised under cancellation and closing."""

import asyncio
import sqlite3
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cluster.store.sqlite_thread import SqliteThread
from horcrux.errors import Conflict, NoSpace, NotFound, Unavailable

SCHEMA = "CREATE TABLE IF NOT EXISTS t (k TEXT PRIMARY KEY, v INTEGER NOT NULL) STRICT;"
Fn = Callable[[sqlite3.Connection], int]


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[SqliteThread]:
    async with await SqliteThread.open(tmp_path / "t.db", SCHEMA) as opened:
        yield opened


def insert(k: str, v: int = 0) -> Fn:
    return lambda c: c.execute("INSERT INTO t VALUES (?, ?)", (k, v)).rowcount


def count(c: sqlite3.Connection) -> int:
    (n,) = c.execute("SELECT count(*) FROM t").fetchone()
    assert isinstance(n, int)
    return n


class Gate:
    """A write that stays under way until it is let go, so that others pile up behind it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._go = threading.Event()

    def __call__(self, c: sqlite3.Connection) -> int:
        self._loop.call_soon_threadsafe(self.entered.set)
        assert self._go.wait(10)
        return c.execute("INSERT INTO t VALUES ('gate', 1)").rowcount

    def open(self) -> None:
        self._go.set()


async def test_a_write_is_seen_by_a_read_that_follows_it(thread: SqliteThread) -> None:
    for n in range(50):
        assert await thread.write(insert(f"k{n}")) == 1
        assert await thread.read(count) == n + 1


async def test_writes_that_wait_share_one_transaction(thread: SqliteThread) -> None:
    gate = Gate()
    statements: list[str] = []
    async with asyncio.TaskGroup() as group:
        first = group.create_task(thread.write(gate))
        await gate.entered.wait()
        rest = [group.create_task(thread.write(insert(f"k{n}"))) for n in range(20)]
        trace = group.create_task(thread.write(lambda c: c.set_trace_callback(statements.append)))
        gate.open()
    assert first.done()
    assert trace.done()
    assert [t.result() for t in rest] == [1] * 20
    assert statements.count("COMMIT") == 1


async def test_an_exception_undoes_its_own_part_only(thread: SqliteThread) -> None:
    def half(c: sqlite3.Connection) -> int:
        c.execute("INSERT INTO t VALUES ('half', 1)")
        raise NotFound("no")

    results = await asyncio.gather(
        thread.write(insert("a")), thread.write(half), thread.write(insert("b")), return_exceptions=True
    )
    assert isinstance(results[1], NotFound)
    assert await thread.read(lambda c: c.execute("SELECT k FROM t ORDER BY k").fetchall()) == [("a",), ("b",)]


async def test_a_call_without_isolation_that_changed_nothing_fails_alone(thread: SqliteThread) -> None:
    def refuse(_: sqlite3.Connection) -> int:
        raise NotFound("no")

    results = await asyncio.gather(
        thread.write(insert("a"), is_isolated=False),
        thread.write(refuse, is_isolated=False),
        thread.write(insert("b")),
        return_exceptions=True,
    )
    assert isinstance(results[1], NotFound)
    assert await thread.read(count) == 2


async def test_a_call_without_isolation_that_fails_midway_takes_its_batch_with_it(thread: SqliteThread) -> None:
    def half(c: sqlite3.Connection) -> int:
        c.execute("INSERT INTO t VALUES ('half', 1)")
        raise NotFound("no")

    results = await asyncio.gather(
        thread.write(insert("a")),
        thread.write(half, is_isolated=False),
        thread.write(insert("b")),
        return_exceptions=True,
    )
    assert all(isinstance(result, NotFound) for result in results)
    assert await thread.read(count) == 0
    assert await thread.write(insert("a")) == 1


async def test_a_broken_constraint_is_a_conflict(thread: SqliteThread) -> None:
    await thread.write(insert("a"))
    with pytest.raises(Conflict, match="UNIQUE"):
        await thread.write(insert("a"))


async def test_on_commit_runs_in_the_order_of_commits_and_only_for_those_that_succeed(thread: SqliteThread) -> None:
    seen: list[int] = []

    def number(n: int) -> Fn:
        def fn(c: sqlite3.Connection) -> int:
            if n % 3 == 0:
                raise NotFound("no")
            c.execute("INSERT INTO t VALUES (?, ?)", (f"k{n}", n))
            return n

        return fn

    await asyncio.gather(*(thread.write(number(n), on_commit=seen.append) for n in range(100)), return_exceptions=True)
    assert seen == [n for n in range(100) if n % 3]


async def test_a_cancelled_write_still_happens_and_is_over_when_the_cancellation_arrives(thread: SqliteThread) -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(thread.write(gate))
        await gate.entered.wait()
        second = group.create_task(thread.write(insert("b")))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.sleep(0)
        second.cancel()
        assert not first.done()
        gate.open()
    assert first.cancelled()
    assert second.cancelled()
    assert await thread.read(count) == 2


async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(tmp_path: Path) -> None:
    thread = await SqliteThread.open(tmp_path / "t.db", SCHEMA)
    async with asyncio.TaskGroup() as group:
        writes = [group.create_task(thread.write(insert(f"k{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        closing = [group.create_task(thread.aclose()), group.create_task(thread.aclose())]
    assert [w.result() for w in writes] == [1] * 10
    assert all(c.done() for c in closing)
    with pytest.raises(Unavailable, match="closed"):
        await thread.write(insert("late"))
    with pytest.raises(Unavailable, match="closed"):
        await thread.read(count)
    async with await SqliteThread.open(tmp_path / "t.db", SCHEMA) as again:
        assert await again.read(count) == 10


async def test_a_full_database_is_no_space_and_nothing_of_that_call_stays(thread: SqliteThread) -> None:
    def limit(c: sqlite3.Connection) -> int:
        (pages,) = c.execute("PRAGMA page_count").fetchone()
        c.execute(f"PRAGMA max_page_count = {pages + 2}")
        return 0

    await thread.write(limit)
    with pytest.raises(NoSpace, match="full"):
        await thread.write(lambda c: c.execute("INSERT INTO t VALUES (?, 1)", ("x" * 100_000,)).rowcount)
    assert await thread.read(count) == 0
    await thread.write(insert("small"))
    assert await thread.read(count) == 1


async def test_a_folder_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        await SqliteThread.open(tmp_path / "none" / "t.db", SCHEMA)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    await asyncio.to_thread(path.write_bytes, b"x" * 5000)
    with pytest.raises(Unavailable, match="not a database"):
        await SqliteThread.open(path, SCHEMA)


async def test_reading_cannot_write(thread: SqliteThread) -> None:
    with pytest.raises(Unavailable, match="readonly"):
        await thread.read(insert("a"))


async def test_the_file_is_for_its_owner_only_and_commits_are_synced(thread: SqliteThread) -> None:
    info = await asyncio.to_thread(thread.path.stat)
    assert stat.S_IMODE(info.st_mode) == 0o600
    assert await thread.write(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (2,)
    assert await thread.write(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
