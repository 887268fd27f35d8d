"""Watches miss nothing, repeat nothing, and say so when they cannot keep that."""

import asyncio

import pytest

from horcrux.errors import Invalid, Unavailable
from horcrux.store import Compacted, Delete, Entry, Put, Store
from tests.conformance.store.conftest import Reopen
from tests.support.store import put, revision_of, take, told
from tests.support.waiting import TIMEOUT_S

P = "/hx/v1/w/"


async def test_a_watch_tells_puts_and_deletes_of_its_prefix_in_order(store: Store) -> None:
    watch = store.watch(P, await revision_of(store) + 1)
    created = await put(store, P + "a", b"1")
    await put(store, "/hx/v1/other", b"1")
    changed = await put(store, P + "a", b"2")
    deleted = (await store.txn([], [Delete(P + "a")])).revision
    events = await take(watch, 3)
    assert [e.kind for e in events] == ["put", "put", "delete"]
    assert events[0].entry == Entry(P + "a", b"1", created, created, 1, 0)
    assert events[1].entry == Entry(P + "a", b"2", created, changed, 2, 0)
    assert events[2].entry == Entry(P + "a", b"", 0, deleted, 0, 0)
    await watch.aclose()


async def test_a_watch_from_the_past_begins_at_that_revision(store: Store) -> None:
    revisions = [await put(store, f"{P}{n}", b"%d" % n) for n in range(10)]
    watch = store.watch(P, revisions[4])
    assert [e.entry.mod for e in await take(watch, 6)] == revisions[4:]
    await watch.aclose()


async def test_a_watch_from_the_future_waits_for_it(store: Store) -> None:
    watch = store.watch(P, await revision_of(store) + 3)
    await put(store, P + "a", b"1")
    await put(store, P + "b", b"2")
    await put(store, P + "c", b"3")
    assert told(await take(watch, 1)) == [("put", P + "c", b"3")]
    await watch.aclose()


async def test_the_events_of_a_transaction_come_together_in_the_order_of_its_operations(store: Store) -> None:
    watch = store.watch(P, await revision_of(store) + 1)
    result = await store.txn([], [Put(f"{P}{name}", b"{}") for name in "cab"])
    first = await take(watch, 1)
    others = 0
    loop = asyncio.get_running_loop()

    def something_else_ran() -> None:
        nonlocal others
        others += 1

    loop.call_soon(something_else_ran)
    events = [*first, await anext(watch), await anext(watch)]
    assert others == 0
    assert [e.entry.key for e in events] == [P + "c", P + "a", P + "b"]
    assert {e.entry.mod for e in events} == {result.revision}
    await watch.aclose()


async def test_nothing_is_missed_or_repeated_while_writers_run(store: Store) -> None:
    """Watches join at every stage, some from the past, while eight writers write."""
    start = await revision_of(store)
    writers, each = 8, 25
    written: list[int] = []

    async def write(number: int) -> None:
        for n in range(each):
            written.append(await put(store, f"{P}{number}", b"%d" % n))

    async def follow(from_revision: int) -> list[int]:
        watch = store.watch(P, from_revision)
        seen: list[int] = []
        async for event in watch:
            seen.append(event.entry.mod)
            if event.entry.mod == start + writers * each:
                await watch.aclose()
        return seen

    async def join_late() -> list[list[int]]:
        async with asyncio.TaskGroup() as followers:
            tasks: list[asyncio.Task[list[int]]] = []
            while len(tasks) < 10:
                tasks.append(followers.create_task(follow(start + 1 + 3 * len(tasks))))
                await revision_of(store)
        return [task.result() for task in tasks]

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        for number in range(writers):
            group.create_task(write(number))
        seen = group.create_task(join_late())
    assert sorted(written) == list(range(start + 1, start + 1 + writers * each))
    for number, revisions in enumerate(seen.result()):
        assert revisions == list(range(start + 1 + 3 * number, start + 1 + writers * each))


async def test_a_watch_sees_only_what_the_store_would_tell(store: Store) -> None:
    """An event is told after its write is durable: whoever sees it reads it."""
    watch = store.watch(P, await revision_of(store) + 1)

    async def check() -> None:
        for _ in range(20):
            event = await anext(watch)
            entry = await store.get(event.entry.key)
            assert entry == event.entry

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(check())
        for n in range(20):
            group.create_task(put(store, f"{P}{n:02d}"))
    await watch.aclose()


async def test_compacted_history_is_refused_and_the_rest_is_told(store: Store) -> None:
    revisions = [await put(store, f"{P}{n}") for n in range(5)]
    await store.compact(revisions[3])
    with pytest.raises(Compacted, match="list again"):
        await anext(store.watch(P, revisions[2]))
    watch = store.watch(P, revisions[3])
    assert [e.entry.mod for e in await take(watch, 2)] == revisions[3:]
    assert len((await store.list(P))[0]) == 5
    await watch.aclose()


async def test_a_watch_left_behind_by_compaction_is_told_so(store: Store) -> None:
    watch = store.watch(P, await put(store, P + "a"))
    await put(store, P + "b")
    await store.compact(await put(store, P + "c"))
    with pytest.raises(Compacted):
        await anext(watch)
    with pytest.raises(Compacted):
        await anext(watch)


async def test_a_watch_that_waits_is_not_troubled_by_compaction(store: Store) -> None:
    last = await put(store, P + "a")
    watch = store.watch(P, last + 1)
    waiting = asyncio.ensure_future(take(watch, 1))
    await store.compact(last)
    await put(store, P + "b", b"2")
    assert told(await waiting) == [("put", P + "b", b"2")]
    await watch.aclose()


async def test_compacting_twice_or_everything_keeps_values_and_revision(store: Store) -> None:
    revision = await put(store, P + "a", b"1")
    await store.compact(revision)
    await store.compact(revision)
    await store.compact(1)
    assert await revision_of(store) == revision
    assert await put(store, P + "a", b"2") == revision + 1


async def test_compacting_the_future_is_refused(store: Store) -> None:
    with pytest.raises(Invalid):
        await store.compact(await revision_of(store) + 1)


async def test_a_watch_from_before_the_first_revision_is_refused(store: Store) -> None:
    with pytest.raises(Invalid):
        store.watch(P, 0)


async def test_closing_a_watch_ends_a_pending_iteration(store: Store) -> None:
    watch = store.watch(P, await revision_of(store) + 1)

    async def follow() -> int:
        return len([event async for event in watch])

    following = asyncio.ensure_future(follow())
    await put(store, P + "a")
    await watch.aclose()
    await watch.aclose()
    async with asyncio.timeout(TIMEOUT_S):
        assert await following <= 1
    with pytest.raises(StopAsyncIteration):
        await anext(watch)


async def test_closing_the_store_ends_its_watches_with_an_error(store: Store) -> None:
    watch = store.watch(P, await revision_of(store) + 1)
    waiting = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0)
    await store.aclose()
    with pytest.raises(Unavailable):
        await waiting


async def test_a_watch_goes_on_over_a_restart(reopen: Reopen) -> None:
    store = await reopen()
    first = await put(store, P + "a", b"1")
    await store.txn([], [Put(P + "b", b"1"), Put(P + "c", b"1")])
    last = (await store.txn([], [Delete(P + "a")])).revision
    watch = store.watch(P, first)
    before = await take(watch, 4)
    store = await reopen()
    watch = store.watch(P, first)
    assert await take(watch, 4) == before
    await put(store, P + "d")
    assert [e.entry.mod for e in await take(watch, 1)] == [last + 1]
    await store.compact(last)
    store = await reopen()
    with pytest.raises(Compacted):
        await anext(store.watch(P, first))
