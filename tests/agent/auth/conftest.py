from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.auth.service import AuthService
from cluster.store.memory import MemoryStore
from cluster.store.sqlite import SqliteStore
from horcrux.store import Store
from tests.support.auth import Heard, signing_in
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Store]:
    store = MemoryStore(clock) if request.param == "memory" else await SqliteStore.open(tmp_path / "store.db", clock)
    yield store
    await store.aclose()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def service(store: Store, clock: FakeClock, heard: Heard) -> AsyncIterator[AuthService]:
    async with signing_in(store, clock, heard=heard) as service:
        yield service
