"""Any sequence of operations leaves memory, SQLite and a plain dict in the same state, with the same answers."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.store.memory import MemoryStore
from cluster.store.sqlite import SqliteStore
from cluster.store.sqlite_log import LogTable
from horcrux.store import Compacted, Compare, Delete, Entry, Event, Get, Op, Put, Store
from tests.support.clock import FakeClock
from tests.support.store import take

KEYS = [f"/hx/v1/m/{name}" for name in ("a", "a/b", "b", "é")]
keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"1", b"2", b"x" * 5000])
small = st.integers(0, 12)
compares = st.one_of(
    st.builds(Compare, keys, st.just("mod"), small),
    st.builds(Compare, keys, st.just("create"), small),
    st.builds(Compare, keys, st.just("value"), values),
)
ops = st.one_of(st.builds(Put, keys, values), st.builds(Delete, keys), st.builds(Get, keys))
branches = st.lists(ops, max_size=4, unique_by=lambda op: op.key)
txns = st.tuples(st.lists(compares, max_size=2), branches, branches)
RESTART = "restart"
steps = st.lists(st.one_of(txns, st.just(RESTART)), max_size=20)


class Model:
    """The Store's meaning, written again with nothing but a dict."""

    def __init__(self) -> None:
        self.revision = 1
        self.entries: dict[str, Entry] = {}
        self.events: list[Event] = []

    def txn(self, when: list[Compare], then: list[Op], otherwise: list[Op]) -> tuple[bool, int, list[Entry | None]]:
        succeeded = all(self._value(c) == c.value for c in when)
        gets: list[Entry | None] = []
        new = self.revision + 1
        for op in then if succeeded else otherwise:
            old = self.entries.get(op.key)
            if isinstance(op, Get):
                gets.append(old)
            elif isinstance(op, Put):
                entry = Entry(op.key, op.value, old.create if old else new, new, old.version + 1 if old else 1, 0)
                self.entries[op.key] = entry
                self.revision = new
                self.events.append(Event("put", entry))
            elif old is not None:
                del self.entries[op.key]
                self.revision = new
                self.events.append(Event("delete", Entry(op.key, b"", 0, new, 0, 0)))
        return succeeded, self.revision, gets

    def _value(self, compare: Compare) -> int | bytes:
        entry = self.entries.get(compare.key, Entry(compare.key, b"", 0, 0, 0, 0))
        by_target: dict[str, int | bytes] = {"mod": entry.mod, "create": entry.create, "value": entry.value}
        return by_target[compare.target]


async def check(steps_: list[object], folder: Path) -> None:
    model, clock = Model(), FakeClock()
    path = folder / "store.db"
    stores: list[Store] = [MemoryStore(clock), await SqliteStore.open(path, clock)]
    for step in steps_:
        if isinstance(step, tuple):
            when, then, otherwise = step
            succeeded, revision, gets = model.txn(when, then, otherwise)
            for store in stores:
                result = await store.txn(when, then, otherwise)
                assert (result.succeeded, result.revision, list(result.gets)) == (succeeded, revision, gets)
        else:
            await stores[1].aclose()
            stores[1] = await SqliteStore.open(path, clock)
    wanted = [model.entries[key] for key in sorted(model.entries)]
    for store in stores:
        assert await store.list("/hx/v1/m/") == (wanted, model.revision)
        for key in KEYS:
            assert await store.get(key) == model.entries.get(key)
        assert await take(store.watch("/hx/v1/", 1), len(model.events)) == model.events
        await store.aclose()


@settings(max_examples=60, deadline=None)
@given(steps)
def test_stores_equal_the_model(steps_: list[object]) -> None:
    with tempfile.TemporaryDirectory(prefix="store-model-") as folder:
        asyncio.run(check(steps_, Path(folder)))


async def told_from_each_revision(folder: Path, log: LogTable, sizes: list[int]) -> list[bool]:
    """For each revision of the writes, whether a watch from it told the whole rest (else it raised Compacted)."""
    store = await SqliteStore.open(folder / "store.db", FakeClock(), log)
    for number, size in enumerate(sizes):
        await store.txn([], [Put(f"/hx/v1/m/{number % 3}", b"x" * size)])
    await store.aclose()
    store = await SqliteStore.open(folder / "store.db", FakeClock(), log)
    last = len(sizes) + 1
    assert (await store.list("nothing"))[1] == last
    told: list[bool] = []
    for revision in range(2, last + 1):
        try:
            events = await take(store.watch("", revision), last - revision + 1)
            assert [event.entry.mod for event in events] == list(range(revision, last + 1))
            told.append(True)
        except Compacted:
            told.append(False)
    await store.aclose()
    return told


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.integers(1, 12), st.integers(1, 5))
@example([2001, 3000], 1, 1)
def test_a_trimmed_log_tells_all_or_says_it_cannot(sizes: list[int], kept: int, every: int) -> None:
    log = LogTable(kept_revisions=kept, kept_bytes=20_000, trim_every=every)
    with tempfile.TemporaryDirectory(prefix="store-model-") as folder:
        told = asyncio.run(told_from_each_revision(Path(folder), log, sizes))
    assert told == sorted(told)
    assert told[-1]
    assert sum(told) <= kept + every
    assert sum(sizes[len(sizes) - sum(told) :]) <= 20_000 + 20_000 // 4 + 3000
