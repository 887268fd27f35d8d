"""Every backend of the Store, each test on a fresh one and on one that was closed and opened before."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cluster.store.memory import MemoryStore
from cluster.store.sqlite import SqliteStore
from horcrux.store import Delete, Put, Store
from tests.support.clock import FakeClock

Reopen = Callable[[], Awaitable[Store]]
BACKENDS = ("memory", "memory used", "sqlite", "sqlite restarted")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened: Store
    match request.param:
        case "memory":
            opened = MemoryStore(clock)
        case "memory used":
            opened = MemoryStore(clock)
            await use(opened)
        case "sqlite":
            opened = await SqliteStore.open(tmp_path / "store.db", clock)
        case _:
            opened = await SqliteStore.open(tmp_path / "store.db", clock)
            await use(opened)
            await opened.aclose()
            opened = await SqliteStore.open(tmp_path / "store.db", clock)
    yield opened
    await opened.aclose()


async def use(store: Store) -> None:
    """A past: keys that came and went, a lease that ended, one that lives, history that was compacted."""
    for n in range(5):
        await store.txn([], [Put(f"/hx/v1/past/{n}", b"{}")])
    ended = await store.lease(10)
    await store.txn([], [Put("/hx/v1/past/leased", b"{}", ended.id)])
    await ended.revoke()
    await store.lease(100_000)
    result = await store.txn([], [Delete(f"/hx/v1/past/{n}") for n in range(5)])
    await store.compact(result.revision)


@pytest.fixture
async def reopen(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Reopen]:
    """A durable store; each call closes the one before and opens it again."""
    current: list[Store] = []

    async def again() -> Store:
        if current:
            await current.pop().aclose()
        current.append(await SqliteStore.open(tmp_path / "store.db", clock))
        return current[0]

    yield again
    for store in current:
        await store.aclose()
