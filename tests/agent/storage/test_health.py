import asyncio
from pathlib import Path

from agent.storage.fake import FakeStorageDriver
from agent.storage.health import EVERY_S, PoolWatch
from horcrux.errors import Unavailable
from horcrux.ids import NodeId, PoolId
from horcrux.storage.bodies import PoolOffers, PoolView
from horcrux.storage.pool import Health, PoolDocument, PoolSeen, PoolType
from tests.agent.storage.bench import running
from tests.support.clock import FakeClock
from tests.support.waiting import eventually

DOCUMENT = PoolDocument(
    id=PoolId("tank"), name="Tank", storage_type=PoolType.ZFS, node=NodeId("n1"), target="tank", created_at=0.0
)


def _view(*, is_active: bool = True, health: Health = Health.GOOD, problems: tuple[str, ...] = ()) -> PoolView:
    reason = "" if is_active else "it is exported"
    seen = PoolSeen(id=DOCUMENT.id, is_active=is_active, health=health, problems=problems, reason=reason)
    return PoolView.of(DOCUMENT, 1, seen, "alpha", PoolOffers())


class _Pools:
    def __init__(self) -> None:
        self.now = [_view()]
        self.told: list[PoolView] = []
        self.is_lost = False

    async def views(self) -> list[PoolView]:
        if self.is_lost:
            raise Unavailable("the store is closed")
        return self.now


async def test_only_changes_are_told_and_each_once() -> None:
    pools = _Pools()
    watch = PoolWatch(pools.views, pools.told.append, FakeClock())
    await watch.look()
    assert pools.told == []
    for view in (
        _view(health=Health.DEGRADED, problems=("disk vdb is gone",)),
        _view(is_active=False),
        _view(),
    ):
        pools.now = [view]
        await watch.look()
        await watch.look()
    assert [view.health for view in pools.told] == [Health.DEGRADED, Health.FAULTED, Health.GOOD]


async def test_a_pool_that_was_bad_when_the_agent_started_is_told() -> None:
    pools = _Pools()
    pools.now = [_view(is_active=False)]
    await PoolWatch(pools.views, pools.told.append, FakeClock()).look()
    assert [view.reason for view in pools.told] == ["it is exported"]


async def test_a_look_that_fails_ends_nothing() -> None:
    pools = _Pools()
    pools.is_lost = True
    watch = PoolWatch(pools.views, pools.told.append, FakeClock())
    await watch.look()
    pools.is_lost = False
    pools.now = [_view(health=Health.DEGRADED, problems=("x",))]
    await watch.look()
    assert len(pools.told) == 1


async def test_it_looks_again_and_again(tmp_path: Path) -> None:
    clock, driver = FakeClock(), FakeStorageDriver()
    async with running(tmp_path, driver=driver) as bench:
        told: list[PoolView] = []
        watch = PoolWatch(bench.service.pools.own_views, told.append, clock)
        following = asyncio.create_task(watch.follow())
        try:
            await eventually(lambda: clock.sleepers == 1)
            driver.stop_pool(PoolId("local"))
            clock.advance(EVERY_S)
            await eventually(lambda: bool(told))
        finally:
            following.cancel()
        assert [(view.id, view.health) for view in told] == [("local", Health.FAULTED)]
