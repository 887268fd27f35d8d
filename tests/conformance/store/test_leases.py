"""Keys live as long as their lease; nobody is told that a dead lease lives."""

import pytest

from horcrux.errors import Invalid
from horcrux.store import Delete, LeaseLost, Put, Store
from tests.conformance.store.conftest import Reopen
from tests.support.clock import FakeClock
from tests.support.store import put, revision_of, take, told
from tests.support.waiting import eventually

P = "/hx/v1/le/"


async def keys(store: Store) -> list[str]:
    return [entry.key.removeprefix(P) for entry in (await store.list(P))[0]]


async def test_an_entry_names_its_lease(store: Store) -> None:
    lease = await store.lease(10)
    await put(store, P + "a", b"{}", lease.id)
    entry = await store.get(P + "a")
    assert entry is not None
    assert entry.lease == lease.id != 0
    assert lease.ttl_s == 10


async def test_two_leases_have_two_ids(store: Store) -> None:
    assert (await store.lease(10)).id != (await store.lease(10)).id


async def test_when_a_lease_ends_its_keys_go_in_one_revision_and_watchers_see_it(
    store: Store, clock: FakeClock
) -> None:
    lease = await store.lease(10)
    await put(store, P + "stays")
    await store.txn([], [Put(P + "a", b"1", lease.id), Put(P + "b", b"1", lease.id)])
    before = await revision_of(store)
    watch = store.watch(P, before + 1)
    clock.advance(11)
    events = await take(watch, 2)
    assert told(events) == [("delete", P + "a", b""), ("delete", P + "b", b"")]
    assert {e.entry.mod for e in events} == {before + 1}
    assert await keys(store) == ["stays"]
    await watch.aclose()


async def test_an_ended_lease_is_lost_for_keepalive_and_for_writes(store: Store, clock: FakeClock) -> None:
    lease = await store.lease(10)
    clock.advance(10)
    with pytest.raises(LeaseLost):
        await lease.keepalive()
    with pytest.raises(LeaseLost):
        await put(store, P + "a", b"{}", lease.id)
    with pytest.raises(LeaseLost):
        await put(store, P + "a", b"{}", 987_654_321)
    assert await keys(store) == []


async def test_a_transaction_under_a_lost_lease_writes_nothing_at_all(store: Store) -> None:
    lease = await store.lease(10)
    await lease.revoke()
    before = await revision_of(store)
    with pytest.raises(LeaseLost):
        await store.txn([], [Put(P + "a", b"1"), Put(P + "b", b"1", lease.id)])
    assert await keys(store) == []
    assert await revision_of(store) == before


async def test_a_keepalive_gives_the_full_time_again(store: Store, clock: FakeClock) -> None:
    kept, ends = await store.lease(10), await store.lease(11)
    await put(store, P + "kept", b"{}", kept.id)
    await put(store, P + "ends", b"{}", ends.id)
    watch = store.watch(P, await revision_of(store) + 1)
    clock.advance(9)
    await kept.keepalive()
    clock.advance(9)
    assert told(await take(watch, 1)) == [("delete", P + "ends", b"")]
    assert await keys(store) == ["kept"]
    await kept.keepalive()
    await watch.aclose()


async def test_revoking_takes_the_keys_at_once_and_twice_does_no_harm(store: Store) -> None:
    lease = await store.lease(10)
    await put(store, P + "a", b"{}", lease.id)
    await lease.revoke()
    assert await keys(store) == []
    after = await revision_of(store)
    await lease.revoke()
    await store.revoke_lease(lease.id)
    await store.revoke_lease(987_654_321)
    assert await revision_of(store) == after
    with pytest.raises(LeaseLost):
        await lease.keepalive()


async def test_a_lease_without_keys_ends_without_a_revision(store: Store, clock: FakeClock) -> None:
    await store.lease(10)
    other = await store.lease(10)
    await put(store, P + "a", b"{}", other.id)
    watch = store.watch(P, before := await revision_of(store) + 1)
    clock.advance(10)
    (event,) = await take(watch, 1)
    assert event.entry.mod == before
    await watch.aclose()


async def test_a_key_written_again_belongs_to_the_newest_lease(store: Store) -> None:
    first, second = await store.lease(10), await store.lease(10)
    for name in ("a", "b", "c"):
        await put(store, P + name, b"1", first.id)
    await put(store, P + "a", b"2", second.id)
    await put(store, P + "b", b"2")
    await store.txn([], [Delete(P + "c")])
    await put(store, P + "c", b"2")
    await first.revoke()
    assert await keys(store) == ["a", "b", "c"]
    await second.revoke()
    assert await keys(store) == ["b", "c"]


async def test_a_lease_of_no_time_is_refused(store: Store) -> None:
    with pytest.raises(Invalid):
        await store.lease(0)


async def test_after_a_restart_a_lease_has_its_full_time_again(reopen: Reopen, clock: FakeClock) -> None:
    store = await reopen()
    lease = await store.lease(10)
    await put(store, P + "a", b"{}", lease.id)
    clock.advance(9)
    store = await reopen()
    clock.advance(9)
    assert await keys(store) == ["a"]
    await put(store, P + "b", b"{}", lease.id)
    watch = store.watch(P, await revision_of(store) + 1)
    clock.advance(1)
    assert told(await take(watch, 2)) == [("delete", P + "a", b""), ("delete", P + "b", b"")]
    store = await reopen()
    assert (await store.lease(10)).id > lease.id


async def test_a_lease_of_an_earlier_life_can_be_revoked_by_its_id(reopen: Reopen) -> None:
    store = await reopen()
    lease = await store.lease(10)
    await put(store, P + "a", b"{}", lease.id)
    store = await reopen()
    await store.revoke_lease(lease.id)
    assert await keys(store) == []
    store = await reopen()
    assert await keys(store) == []


async def test_closing_ends_no_lease(reopen: Reopen, clock: FakeClock) -> None:
    store = await reopen()
    lease = await store.lease(10)
    await put(store, P + "a", b"{}", lease.id)
    await store.aclose()
    clock.advance(1000)
    store = await reopen()
    assert await keys(store) == ["a"]
    await eventually(lambda: clock.sleepers == 1)
