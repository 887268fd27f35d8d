import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.auth.mirror import Mirror
from cluster.store.memory import MemoryStore
from horcrux.store import Collection
from tests.support.clock import FakeClock
from tests.support.waiting import eventually


class Thing(msgspec.Struct, frozen=True):
    size: int


Change = tuple[Thing | None, Thing | None]


@asynccontextmanager
async def following(mirror: Mirror[Thing]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(mirror.follow())
        yield
        task.cancel()


async def test_what_others_write_and_remove_is_followed() -> None:
    store = MemoryStore(FakeClock())
    things = Collection(store, "thing", Thing)
    await things.create("before", Thing(1))
    mirror = Mirror(things, FakeClock(), lambda _was, _now: None)
    await mirror.load()
    assert mirror.get("before") == Thing(1)
    async with following(mirror):
        await things.create("after", Thing(2))
        await eventually(lambda: mirror.get("after") == Thing(2))
        await things.delete("before")
        await eventually(lambda: mirror.get("before") is None)


async def test_an_own_write_is_seen_at_once_and_told_once() -> None:
    store = MemoryStore(FakeClock())
    things = Collection(store, "thing", Thing)
    changes: list[Change] = []
    mirror = Mirror(things, FakeClock(), lambda was, now: changes.append((was, now)))
    await mirror.load()
    async with following(mirror):
        mirror.wrote("a", Thing(1), await things.create("a", Thing(1)))
        assert mirror.get("a") == Thing(1)
        mirror.removed("a", mirror.revision_of("a"))
        await things.delete("a")
        await things.create("marker", Thing(0))
        await eventually(lambda: mirror.get("marker") is not None)
    assert changes == [(None, Thing(1)), (Thing(1), None), (None, Thing(0))]


async def test_history_that_was_forgotten_is_listed_again() -> None:
    store = MemoryStore(FakeClock())
    things = Collection(store, "thing", Thing)
    await things.create("gone", Thing(1))
    mirror = Mirror(things, FakeClock(), lambda _was, _now: None)
    await mirror.load()
    await things.delete("gone")
    revision = await things.create("new", Thing(2))
    await store.compact(revision + 0)
    async with following(mirror):
        await eventually(lambda: mirror.get("new") == Thing(2) and mirror.get("gone") is None)


async def test_a_store_that_cannot_be_asked_is_asked_again_later(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = MemoryStore(FakeClock()), FakeClock()
    mirror = Mirror(Collection(store, "thing", Thing), clock, lambda _was, _now: None)
    await mirror.load()
    await store.aclose()
    async with following(mirror):
        await eventually(lambda: clock.sleepers == 1)
        clock.advance(1)
        await eventually(lambda: caplog.text.count("cannot follow thing") == 2)


async def test_a_document_that_cannot_be_read_counts_as_absent(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(FakeClock())
    await Collection(store, "thing", SomethingElse).create("odd", SomethingElse("big"))
    mirror = Mirror(Collection(store, "thing", Thing), FakeClock(), lambda _was, _now: None)
    await mirror.load()
    assert mirror.get("odd") is None
    assert "/hx/v1/thing/odd" in caplog.text
    assert "big" not in caplog.text


class SomethingElse(msgspec.Struct, frozen=True):
    size: str


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans(), st.booleans()), max_size=25))
async def test_whatever_is_written_by_whom_and_heard_when_the_mirror_ends_as_the_store(
    steps: list[tuple[str, bool, bool, bool]],
) -> None:
    store = MemoryStore(FakeClock())
    things = Collection(store, "thing", Thing)
    mirror = Mirror(things, FakeClock(), lambda _was, _now: None)
    await mirror.load()
    async with following(mirror):
        for number, (id_, is_delete, is_own, pauses) in enumerate(steps):
            document = await things.find(id_)
            if is_delete and document is not None:
                await things.delete(id_, document.revision)
                if is_own:
                    mirror.removed(id_, document.revision)
                    assert mirror.get(id_) is None
            elif not is_delete:
                value = Thing(number)
                revision = (
                    await things.create(id_, value) if document is None else await things.replace(id_, document, value)
                )
                if is_own:
                    mirror.wrote(id_, value, revision)
                    assert mirror.get(id_) == value
            if pauses:
                await asyncio.sleep(0)
        stored = {document.key.removeprefix(things.prefix): document.value for document in await things.list()}
        await eventually(lambda: {i: v for i in "abc" if (v := mirror.get(i)) is not None} == stored)
