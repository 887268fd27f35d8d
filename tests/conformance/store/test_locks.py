"""Locks are fair, end with their lease, and their tokens grow."""

import asyncio

import pytest

from horcrux.errors import Unavailable
from horcrux.store import Compare, LeaseLost, Put, Store, lock_key
from tests.conformance.store.conftest import Reopen
from tests.support.clock import FakeClock
from tests.support.store import take
from tests.support.waiting import TIMEOUT_S, eventually

NAME = "vm/one"


async def waiters(store: Store) -> int:
    return len((await store.list("/hx/v1/lock-queue/"))[0])


async def queued(store: Store, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while await waiters(store) != count:
            pass


async def test_the_token_is_the_create_revision_of_the_key_and_the_value_tells_the_holder(store: Store) -> None:
    lease = await store.lease(10)
    token = await store.lock(NAME, lease, b"task 7")
    entry = await store.get(lock_key(NAME))
    assert entry is not None
    assert (entry.create, entry.value, entry.lease) == (token, b"task 7", lease.id)


async def test_a_held_lock_is_not_taken(store: Store) -> None:
    first, second = await store.lease(10), await store.lease(10)
    token = await store.try_lock(NAME, first)
    assert token is not None
    assert await store.try_lock(NAME, second) is None
    assert await store.try_lock(NAME, first) is None
    assert await store.try_lock("vm/on", second) is not None
    await store.unlock(NAME, token)
    again = await store.try_lock(NAME, second)
    assert again is not None
    assert again > token


async def test_unlocking_with_an_old_token_frees_nothing(store: Store) -> None:
    first, second = await store.lease(10), await store.lease(10)
    old = await store.lock(NAME, first)
    await store.unlock(NAME, old)
    token = await store.lock(NAME, second)
    await store.unlock(NAME, old)
    assert await store.try_lock(NAME, first) is None
    await store.unlock(NAME, token)
    assert await store.get(lock_key(NAME)) is None


async def test_waiters_are_served_in_the_order_in_which_they_came_and_tokens_grow(store: Store) -> None:
    held = await store.lock(NAME, await store.lease(10))
    served: list[tuple[int, int]] = []

    async def wait(number: int) -> None:
        token = await store.lock(NAME, await store.lease(10))
        served.append((number, token))
        await store.unlock(NAME, token)

    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(wait(number))
            await queued(store, number + 1)
        await store.unlock(NAME, held)
        group.create_task(wait(6))
    assert [number for number, _ in served] == list(range(7))
    tokens = [held, *(token for _, token in served)]
    assert tokens == sorted(set(tokens))
    assert await waiters(store) == 0


async def test_only_one_is_inside_at_a_time(store: Store) -> None:
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        lease = await store.lease(10)
        token = await store.lock(NAME, lease)
        inside += 1
        most = max(most, inside)
        await store.get("/hx/v1/anything")
        inside -= 1
        await store.unlock(NAME, token)

    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*(work() for _ in range(12)))
    assert (inside, most) == (0, 1)


async def test_a_lost_lease_frees_its_lock_and_fences_its_holder(store: Store, clock: FakeClock) -> None:
    dead, alive = await store.lease(10), await store.lease(100)
    old = await store.lock(NAME, dead)
    waiting = asyncio.ensure_future(store.lock(NAME, alive))
    await queued(store, 1)
    clock.advance(10)
    async with asyncio.timeout(TIMEOUT_S):
        token = await waiting
    assert token > old
    late = await store.txn([Compare(lock_key(NAME), "create", old)], [Put("/hx/v1/guarded", b"late")])
    assert not late.succeeded


async def test_a_waiter_whose_lease_ends_is_told_and_does_not_hold_up_the_next(store: Store, clock: FakeClock) -> None:
    holder, dead, alive = await store.lease(100), await store.lease(10), await store.lease(100)
    token = await store.lock(NAME, holder)
    lost = asyncio.ensure_future(store.lock(NAME, dead))
    await queued(store, 1)
    next_ = asyncio.ensure_future(store.lock(NAME, alive))
    await queued(store, 2)
    clock.advance(10)
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(LeaseLost):
            await lost
        await store.unlock(NAME, token)
        assert await next_ > token


async def test_locking_under_an_ended_lease_is_refused(store: Store) -> None:
    lease = await store.lease(10)
    await lease.revoke()
    with pytest.raises(LeaseLost):
        await store.lock(NAME, lease)
    with pytest.raises(LeaseLost):
        await store.try_lock(NAME, lease)
    assert await store.get(lock_key(NAME)) is None


async def test_a_cancelled_waiter_leaves_the_queue(store: Store) -> None:
    token = await store.lock(NAME, await store.lease(10))
    waiting = asyncio.ensure_future(store.lock(NAME, await store.lease(10)))
    await queued(store, 1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await waiters(store) == 0
    await store.unlock(NAME, token)
    assert await store.get(lock_key(NAME)) is None


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_at_any_moment_it_keeps_neither_lock_nor_place(store: Store, turns: int) -> None:
    lease = await store.lease(10)
    taking = asyncio.ensure_future(store.lock(NAME, lease))
    for _ in range(turns):
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])
    if taking.cancelled():
        assert await store.get(lock_key(NAME)) is None
    else:
        await store.unlock(NAME, taking.result())
    assert await waiters(store) == 0
    assert await store.try_lock(NAME, lease) is not None


async def test_the_same_lease_may_wait_for_several_locks(store: Store) -> None:
    lease = await store.lease(10)
    assert await store.lock("a", lease) < await store.lock("b", lease)
    await lease.revoke()
    assert await store.get(lock_key("a")) is None
    assert await store.get(lock_key("b")) is None


async def test_a_waiter_is_told_when_the_store_closes(store: Store) -> None:
    await store.lock(NAME, await store.lease(10))
    waiting = asyncio.ensure_future(store.lock(NAME, await store.lease(10)))
    await queued(store, 1)
    await store.aclose()
    async with asyncio.timeout(TIMEOUT_S):
        with pytest.raises(Unavailable):
            await waiting


async def test_a_lock_outlives_a_restart_until_its_lease_ends(reopen: Reopen, clock: FakeClock) -> None:
    store = await reopen()
    token = await store.lock(NAME, await store.lease(10), b"task 7")
    store = await reopen()
    fresh = await store.lease(100)
    assert await store.try_lock(NAME, fresh) is None
    watch = store.watch(lock_key(NAME), token + 1)
    clock.advance(10)
    await take(watch, 1)
    again = await store.try_lock(NAME, fresh)
    assert again is not None
    assert again > token
    await eventually(lambda: clock.sleepers == 1)
