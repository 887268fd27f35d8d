"""A replica equals the Store, on every backend, through writes, compaction and outages."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cluster.store.replica import Replica
from horcrux.errors import Unavailable
from horcrux.store import Delete, Entry, Put, Store, Watch
from tests.conformance.store.conftest import Reopen
from tests.support.clock import FakeClock
from tests.support.store import put, revision_of
from tests.support.waiting import TIMEOUT_S, eventually

VM, NODE = "/hx/v1/vm/", "/hx/v1/node/"


@pytest.fixture
async def replica(store: Store, clock: FakeClock) -> AsyncIterator[Replica]:
    await store.txn([], [Put(VM + "b", b"1"), Put(VM + "a", b"1"), Put(NODE + "n", b"1"), Put("/hx/v1/user/u", b"1")])
    async with Replica(store, [VM, NODE], clock=clock) as started:
        yield started


def values(replica: Replica, prefix: str) -> list[tuple[str, bytes]]:
    return [(e.key.removeprefix(prefix), e.value) for e in replica.entries(prefix)]


async def test_it_begins_with_what_the_store_holds_below_its_prefixes(store: Store, replica: Replica) -> None:
    assert values(replica, VM) == [("a", b"1"), ("b", b"1")]
    assert values(replica, "") == [("/hx/v1/node/n", b"1"), ("/hx/v1/vm/a", b"1"), ("/hx/v1/vm/b", b"1")]
    assert replica.entry(VM + "a") == await store.get(VM + "a")
    assert replica.entry("/hx/v1/user/u") is None
    assert replica.revision == await revision_of(store)
    assert not replica.is_stale


async def test_a_writer_reads_its_own_write(store: Store, replica: Replica) -> None:
    for n in range(30):
        key = f"{VM}{n % 7}"
        if n % 5 == 4:
            result = await store.txn([], [Delete(key), Put(NODE + "n", b"%d" % n)])
        else:
            result = await store.txn([], [Put(key, b"%d" % n), Put(NODE + "n", b"%d" % n)])
        assert await replica.wait_for(result.revision)
        assert replica.revision >= result.revision
        assert replica.entry(key) == await store.get(key)
        assert values(replica, NODE) == [("n", b"%d" % n)]


async def test_a_transaction_is_never_seen_in_half(store: Store, replica: Replica) -> None:
    async def look() -> None:
        while (pair := values(replica, VM)) != [("a", b"49"), ("b", b"49")]:
            assert pair[0][1] == pair[1][1]
            await asyncio.sleep(0)

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        group.create_task(look())
        for n in range(50):
            await store.txn([], [Put(VM + "a", b"%d" % n), Put(VM + "b", b"%d" % n)])


async def test_entries_are_the_same_object_until_they_change(store: Store, replica: Replica) -> None:
    before = replica.entries(VM)
    assert await replica.wait_for(await put(store, NODE + "n", b"2"))
    assert replica.entries(VM) is before
    assert await replica.wait_for(await put(store, VM + "c", b"2"))
    assert [e.key for e in replica.entries(VM)] == [VM + "a", VM + "b", VM + "c"]
    assert len(before) == 2


async def test_waiting_for_what_does_not_come_ends(store: Store, replica: Replica) -> None:
    assert not await replica.wait_for(replica.revision + 1, timeout_s=0.01)
    assert await replica.wait_for(await put(store, VM + "c"))


async def test_changes_are_told_in_order_below_their_prefix(store: Store, replica: Replica) -> None:
    told: list[tuple[str, bytes | None]] = []
    end = replica.on_change(VM, lambda key, entry: told.append((key.removeprefix(VM), entry.value if entry else None)))
    await put(store, NODE + "n", b"2")
    await put(store, VM + "a", b"2")
    assert await replica.wait_for((await store.txn([], [Delete(VM + "a"), Put(VM + "c", b"3")])).revision)
    assert told == [("a", b"2"), ("a", None), ("c", b"3")]
    end()
    end()
    assert await replica.wait_for(await put(store, VM + "a", b"4"))
    assert len(told) == 3


async def test_a_callback_that_fails_harms_nobody_else(
    store: Store, replica: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def fail(key: str, _: Entry | None) -> None:
        raise RuntimeError(key)

    replica.on_change(VM, fail)
    replica.on_change(VM, lambda key, _: told.append(key))
    assert await replica.wait_for(await put(store, VM + "a"))
    assert await replica.wait_for(await put(store, VM + "b"))
    assert told == [VM + "a", VM + "b"]
    assert "a callback for changes below /hx/v1/vm/ failed on /hx/v1/vm/a" in caplog.text


async def test_registered_before_the_start_it_hears_of_every_entry(store: Store, clock: FakeClock) -> None:
    await put(store, VM + "a", b"1")
    told: list[str] = []
    replica = Replica(store, [VM], clock=clock)
    assert replica.is_stale
    replica.on_change(VM, lambda key, _: told.append(key))
    async with replica:
        assert told == [VM + "a"]
    assert replica.is_stale


async def test_it_equals_the_store_after_many_writers(store: Store, replica: Replica) -> None:
    async def write(number: int) -> int:
        revision = 0
        for n in range(30):
            key = f"{VM}{(number * n) % 11}"
            op: Put | Delete = Delete(key) if (number + n) % 4 == 0 else Put(key, b"%d" % n)
            revision = max(revision, (await store.txn([], [op, Put(f"{NODE}{number}", b"%d" % n)])).revision)
        return revision

    last = max(await asyncio.gather(*(write(number) for number in range(6))))
    assert await replica.wait_for(last)
    for prefix in (VM, NODE):
        assert list(replica.entries(prefix)) == (await store.list(prefix))[0]


class Flaky:
    """The watch and list of a store that can be cut off; the rest of it is not needed by a replica."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_cut = False
        self.watches: list[Watch] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def list(self, prefix: str) -> tuple[list[Entry], int]:
        if self.is_cut:
            raise Unavailable("cut off")
        return await self._store.list(prefix)

    def watch(self, prefix: str, from_revision: int) -> "CutWatch":
        return CutWatch(self, self._store.watch(prefix, from_revision))


class CutWatch:
    def __init__(self, flaky: Flaky, watch: Watch) -> None:
        self._flaky = flaky
        self._watch = watch

    def __aiter__(self) -> "CutWatch":
        return self

    async def __anext__(self) -> object:
        event = await anext(self._watch)
        if self._flaky.is_cut:
            raise Unavailable("cut off")
        return event

    async def aclose(self) -> None:
        await self._watch.aclose()


@pytest.mark.parametrize("is_compacted", [False, True])
async def test_cut_off_it_is_stale_and_afterwards_tells_only_what_differs(
    store: Store, clock: FakeClock, is_compacted: bool
) -> None:
    for name in "abc":
        await put(store, VM + name, b"1")
    flaky = Flaky(store)
    others = clock.sleepers
    told: list[tuple[str, bytes | None]] = []
    async with Replica(flaky, [VM], clock=clock) as replica:  # type: ignore[arg-type]  # the rest is passed on
        replica.on_change(VM, lambda key, entry: told.append((key.removeprefix(VM), entry.value if entry else None)))
        flaky.is_cut = True
        await put(store, VM + "b", b"2")
        await eventually(lambda: replica.is_stale)
        assert values(replica, VM) == [("a", b"1"), ("b", b"1"), ("c", b"1")]
        last = (await store.txn([], [Delete(VM + "a"), Put(VM + "d", b"3")])).revision
        if is_compacted:
            await store.compact(last)
        waiting = asyncio.ensure_future(replica.wait_for(last, timeout_s=TIMEOUT_S))
        flaky.is_cut = False
        await eventually(lambda: clock.sleepers == others + 1)
        clock.advance(1)
        assert await waiting
        assert not replica.is_stale
        assert sorted(told, key=str) == [("a", None), ("b", b"2"), ("d", b"3")]
        assert await replica.wait_for(await put(store, VM + "a", b"4"))


async def test_left_behind_by_compaction_it_lists_again(reopen: Reopen, clock: FakeClock) -> None:
    store = await reopen()
    first = await put(store, VM + "a", b"1")
    replica = Replica(store, [VM], clock=clock)
    await replica.start()
    assert replica.revision == first
    for n in range(3):
        await put(store, VM + "b", b"%d" % n)
    last = (await store.txn([], [Delete(VM + "a")])).revision
    await store.compact(last)
    assert await replica.wait_for(last)
    assert values(replica, VM) == [("b", b"2")]
    await replica.aclose()


async def test_it_does_not_start_on_a_closed_store(store: Store, clock: FakeClock) -> None:
    await store.aclose()
    replica = Replica(store, [VM], clock=clock)
    with pytest.raises(Unavailable):
        await replica.start()
    await replica.aclose()
