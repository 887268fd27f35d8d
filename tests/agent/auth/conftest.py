from collections.abc import AsyncIterator

import pytest

from agent.auth.service import AuthService
from cluster.store.memory import MemoryStore
from tests.support.auth import Heard, signing_in
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[MemoryStore]:
    store = MemoryStore(clock)
    yield store
    await store.aclose()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def service(store: MemoryStore, clock: FakeClock, heard: Heard) -> AsyncIterator[AuthService]:
    async with signing_in(store, clock, heard=heard) as service:
        yield service
