"""What a pool has left, for who is about to write to it: a number, that nobody can tell, or why it cannot be reached."""

import pytest

from agent.storage.fake import FakeStorageDriver
from horcrux.errors import Unavailable
from horcrux.ids import PoolId
from horcrux.storage.pool import PoolDocument, PoolSeen
from horcrux.units import GIB
from tests.agent.storage.bench import Bench

LOCAL = PoolId("local")


async def test_a_pool_says_what_it_has_left(bench: Bench) -> None:
    assert await bench.service.available_bytes(LOCAL) == 100 * GIB


async def test_a_pool_that_cannot_be_reached_is_not_full(bench: Bench) -> None:
    assert isinstance(bench.driver, FakeStorageDriver)
    bench.driver.stop_pool(LOCAL)
    with pytest.raises(Unavailable, match="local is not active"):
        await bench.service.available_bytes(LOCAL)


async def test_a_pool_that_cannot_tell_is_not_full(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(_driver: FakeStorageDriver, pool: PoolDocument) -> PoolSeen:
        return PoolSeen(id=pool.id, is_active=True, total_bytes=GIB, available_bytes=None)

    monkeypatch.setattr(FakeStorageDriver, "look", look)
    assert await bench.service.available_bytes(LOCAL) is None
