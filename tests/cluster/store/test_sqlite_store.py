"""What only the SQLite store has: a disk that can be full, a file that can be of another version."""

import sqlite3
from pathlib import Path

import pytest

from cluster.store.sqlite import SCHEMA, SqliteStore
from cluster.store.sqlite_thread import SqliteThread
from horcrux.errors import NoSpace, Unavailable
from horcrux.store import LeaseLost
from tests.support.clock import FakeClock
from tests.support.store import put, revision_of, take
from tests.support.waiting import eventually

K = "/hx/v1/t/k"


class Limit:
    """A database that may grow by so many pages and no more, or without end again."""

    def __init__(self, pages: int | None) -> None:
        self._pages = pages

    def __call__(self, connection: sqlite3.Connection) -> None:
        (now,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {4294967294 if self._pages is None else now + self._pages}")


async def test_a_full_disk_is_no_space_and_the_store_goes_on_when_there_is_room(tmp_path: Path) -> None:
    thread = await SqliteThread.open(tmp_path / "store.db", SCHEMA)
    store = await SqliteStore.over(thread, FakeClock())
    before = await put(store, K, b"1")
    await thread.write(Limit(3))
    with pytest.raises(NoSpace, match="no change was made"):
        await put(store, "/hx/v1/t/large", b"x" * 100_000)
    assert await store.get("/hx/v1/t/large") is None
    assert await revision_of(store) == before
    assert await put(store, K, b"2") > before
    await thread.write(Limit(None))
    large = await put(store, "/hx/v1/t/large", b"x" * 100_000)
    events = await take(store.watch("", before), 3)
    assert [event.entry.mod for event in events] == sorted({event.entry.mod for event in events})
    assert events[-1].entry.mod == large == await revision_of(store)
    await store.aclose()


async def test_a_lease_that_cannot_be_ended_for_lack_of_space_is_ended_later(tmp_path: Path) -> None:
    thread = await SqliteThread.open(tmp_path / "store.db", SCHEMA)
    clock = FakeClock()
    store = await SqliteStore.over(thread, clock)
    lease = await store.lease(10)
    for n in range(100):
        await put(store, f"{K}{n}", b"{}", lease.id)
    await thread.write(Limit(0))
    clock.advance(10)
    await eventually(lambda: clock.sleepers == 1)
    with pytest.raises(LeaseLost):
        await lease.keepalive()
    assert len((await store.list(K))[0]) == 100
    await thread.write(Limit(None))
    watch = store.watch(K, await revision_of(store) + 1)
    clock.advance(1)
    await take(watch, 100)
    assert (await store.list(K))[0] == []
    await store.aclose()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path, FakeClock())
    await store.aclose()
    async with await SqliteThread.open(path, "PRAGMA user_version = 99") as thread:
        assert thread.path == path
    with pytest.raises(Unavailable, match="upgrade"):
        await SqliteStore.open(path, FakeClock())
