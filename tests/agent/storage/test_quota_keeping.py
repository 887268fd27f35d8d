"""Reservations against a real store: together they never take more than a quota allows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.storage.quota import Quotas
from cluster.clock import SystemClock
from cluster.store.memory import MemoryStore
from cluster.store.sqlite import SqliteStore
from horcrux.errors import QuotaExceeded
from horcrux.ids import PoolId
from horcrux.storage.quota import Quota, used_bytes
from horcrux.storage.volume import Volume
from horcrux.store import Store
from tests.support.clock import FakeClock

FAST, SLOW = PoolId("fast"), PoolId("slow")


def volume(pool: PoolId, name: str, size: int) -> Volume:
    return Volume(pool=pool, name=name, format="raw", capacity_bytes=size, allocation_bytes=0, path=f"/{pool}/{name}")


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(FakeClock())
        return
    opened = await SqliteStore.open(tmp_path / "store.db", SystemClock())
    yield opened
    await opened.aclose()


async def taken(quotas: Quotas) -> dict[str, tuple[str, int]]:
    return {one.value.key: (one.value.user, one.value.capacity_bytes) for one in await quotas.allocations.list()}


async def test_of_many_at_once_only_as_many_come_in_as_fit(store: Store) -> None:
    quotas = Quotas(store)
    for quota in (Quota(id="p", pool=FAST, limit_bytes=70), Quota(id="u", user="u1", limit_bytes=25)):
        await quotas.quotas.create(quota.id, quota)

    async def take(number: int) -> bool:
        try:
            await Quotas(store).reserve(f"u{number % 3}", [(FAST, f"v{number}", 10)])
        except QuotaExceeded:
            return False
        return True

    came_in = await asyncio.gather(*(take(number) for number in range(30)))
    kept = [one.value for one in await quotas.allocations.list()]
    assert sum(one.capacity_bytes for one in kept) == 70
    assert sum(one.capacity_bytes for one in kept if one.user == "u1") <= 20
    assert sum(came_in) == len(kept) == 7


orders = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.lists(st.tuples(st.sampled_from([FAST, SLOW]), st.integers(1, 30)), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=12,
)


@given(orders, st.integers(0, 80), st.integers(0, 80), st.integers(0, 80))
@settings(max_examples=60, deadline=None)
def test_no_order_of_things_goes_over_a_quota(
    wanted: list[tuple[str, list[tuple[PoolId, int]]]], of_pool: int, of_user: int, of_both: int
) -> None:
    async def play() -> None:
        quotas = Quotas(MemoryStore(FakeClock()))
        limits = [
            Quota(id="p", pool=FAST, limit_bytes=of_pool),
            Quota(id="u", user="ann", limit_bytes=of_user),
            Quota(id="b", pool=SLOW, user="bob", limit_bytes=of_both),
        ]
        for quota in limits:
            await quotas.quotas.create(quota.id, quota)

        async def take(number: int, user: str, disks: list[tuple[PoolId, int]]) -> None:
            rows = [(pool, f"v{number}-{i}", size) for i, (pool, size) in enumerate(disks)]
            try:
                await quotas.reserve(user, rows)
            except QuotaExceeded:
                kept = await taken(quotas)
                assert not any(f"{pool}/{name}" in kept for pool, name, _ in rows)

        await asyncio.gather(*(take(n, user, disks) for n, (user, disks) in enumerate(wanted)))
        kept = [one.value for one in await quotas.allocations.list()]
        assert all(used_bytes(quota, kept) <= quota.limit_bytes for quota in limits)

    asyncio.run(play())


async def test_a_limit_that_falls_while_somebody_reserves_counts(store: Store) -> None:
    quotas = Quotas(store)
    await quotas.quotas.create("p", Quota(id="p", pool=FAST, limit_bytes=10))
    was = await quotas.quotas.get("p")
    await quotas.quotas.replace("p", was, Quota(id="p", pool=FAST, limit_bytes=3))
    with pytest.raises(QuotaExceeded):
        await quotas.reserve("ann", [(FAST, "a", 4)])
    await quotas.reserve("ann", [(FAST, "a", 3)])


async def test_reserving_does_not_change_the_revision_that_readers_know(store: Store) -> None:
    quotas = Quotas(store)
    before = await quotas.quotas.create("p", Quota(id="p", pool=FAST, limit_bytes=10))
    await quotas.reserve("ann", [(FAST, "a", 4)])
    assert (await quotas.quotas.get("p")).revision == before


async def test_a_growth_is_counted_and_one_that_failed_given_back(store: Store) -> None:
    quotas = Quotas(store)
    await quotas.quotas.create("u", Quota(id="u", user="ann", limit_bytes=10))
    await quotas.reserve("ann", [(FAST, "a", 4)])
    await quotas.grow(FAST, "a", 10)
    with pytest.raises(QuotaExceeded):
        await quotas.grow(FAST, "a", 11)
    assert await taken(quotas) == {"fast/a": ("ann", 10)}
    await quotas.settle(volume(FAST, "a", 4))
    assert await taken(quotas) == {"fast/a": ("ann", 4)}
    for _ in range(2):
        await quotas.release(FAST, "a")
    assert await taken(quotas) == {}


async def test_a_growth_to_less_keeps_what_is_kept(store: Store) -> None:
    quotas = Quotas(store)
    await quotas.reserve("ann", [(FAST, "a", 4)])
    await quotas.grow(FAST, "a", 3)
    assert await taken(quotas) == {"fast/a": ("ann", 4)}


async def test_reconciling_makes_what_is_kept_what_there_is(store: Store) -> None:
    quotas, away = Quotas(store), PoolId("away")
    await quotas.reserve(
        "ann", [(FAST, "gone", 4), (FAST, "grown", 4), (away, "unseen", 4), (PoolId("deleted"), "x", 4)]
    )
    there = {FAST: [volume(FAST, "grown", 6), volume(FAST, "old", 2), volume(FAST, "plain", 1)], SLOW: []}
    owners = {("fast", "old"): "bob"}
    for _ in range(2):
        await quotas.reconcile(there, owners, frozenset({"fast", "slow", "away"}))
        assert await taken(quotas) == {
            "fast/grown": ("ann", 6),
            "fast/old": ("bob", 2),
            "fast/plain": ("", 1),
            "away/unseen": ("ann", 4),
        }
