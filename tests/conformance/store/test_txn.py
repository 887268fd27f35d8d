"""Revisions, compares and what a transaction refuses."""

import asyncio

import pytest

from horcrux.errors import Invalid, TooLarge, Unavailable
from horcrux.store import MAX_TXN_OPS, MAX_VALUE_BYTES, Compare, Delete, Entry, Get, Op, Put, Store
from tests.conformance.store.conftest import Reopen
from tests.support.store import put, revision_of

K = "/hx/v1/t/k"


async def test_a_missing_key_is_none(store: Store) -> None:
    assert await store.get(K) is None


async def test_each_changing_transaction_is_one_revision(store: Store) -> None:
    before = await revision_of(store)
    assert (await store.txn([], [Put(K, b"1"), Put("/hx/v1/t/l", b"1")])).revision == before + 1
    assert (await store.txn([], [Get(K)])).revision == before + 1
    assert (await store.txn([], [Delete("/hx/v1/t/absent")])).revision == before + 1
    assert (await store.txn([], [Delete(K)])).revision == before + 2
    assert await revision_of(store) == before + 2


async def test_an_entry_tells_its_creation_its_last_write_and_the_number_of_writes(store: Store) -> None:
    first = await put(store, K, b"1")
    assert await store.get(K) == Entry(K, b"1", first, first, 1, 0)
    second = await put(store, K, b"2")
    assert await store.get(K) == Entry(K, b"2", first, second, 2, 0)


async def test_a_key_that_comes_again_is_a_new_one(store: Store) -> None:
    await put(store, K, b"1")
    await store.txn([], [Delete(K)])
    assert await store.get(K) is None
    third = await put(store, K, b"3")
    assert await store.get(K) == Entry(K, b"3", third, third, 1, 0)


@pytest.mark.parametrize(
    ("target", "right", "wrong"),
    [("mod", 0, 1), ("create", 0, 1), ("value", b"", b"x")],
)
async def test_a_missing_key_has_revision_zero_and_an_empty_value(
    store: Store, target: str, right: int | bytes, wrong: int | bytes
) -> None:
    assert (await store.txn([Compare(K, target, right)], [])).succeeded  # type: ignore[arg-type]  # a parameter is str
    assert not (await store.txn([Compare(K, target, wrong)], [])).succeeded  # type: ignore[arg-type]


async def test_every_kind_of_compare_tells_right_from_wrong(store: Store) -> None:
    created = await put(store, K, b"1")
    changed = await put(store, K, b"2")
    for right in (Compare(K, "mod", changed), Compare(K, "create", created), Compare(K, "value", b"2")):
        assert (await store.txn([right], [])).succeeded, right
    for wrong in (Compare(K, "mod", created), Compare(K, "create", changed), Compare(K, "value", b"1")):
        assert not (await store.txn([wrong], [])).succeeded, wrong


async def test_all_compares_must_hold(store: Store) -> None:
    here = await put(store, K)
    result = await store.txn([Compare(K, "mod", here), Compare("/hx/v1/t/l", "mod", 7)], [Put(K, b"no")], [Get(K)])
    assert not result.succeeded
    assert result.revision == here
    assert result.gets == (Entry(K, b"{}", here, here, 1, 0),)
    entry = await store.get(K)
    assert entry is not None
    assert entry.value == b"{}"


async def test_otherwise_may_write(store: Store) -> None:
    result = await store.txn([Compare(K, "mod", 99_999)], [Put(K, b"then")], [Put(K, b"otherwise")])
    assert not result.succeeded
    entry = await store.get(K)
    assert entry is not None
    assert (entry.value, entry.mod) == (b"otherwise", result.revision)


async def test_operations_see_those_before_them(store: Store) -> None:
    result = await store.txn([], [Get(K), Put(K, b"1"), Get(K), Get("/hx/v1/t/none")])
    before, after, none = result.gets
    assert before is None
    assert none is None
    assert after == Entry(K, b"1", result.revision, result.revision, 1, 0)


@pytest.mark.parametrize("ops", [[Put(K, b"1"), Put(K, b"2")], [Put(K, b"1"), Delete(K)], [Delete(K), Delete(K)]])
async def test_a_key_is_written_once_in_a_transaction(store: Store, ops: list[Op]) -> None:
    before = await revision_of(store)
    with pytest.raises(Invalid, match="twice"):
        await store.txn([], ops)
    with pytest.raises(Invalid, match="twice"):
        await store.txn([], [], ops)
    assert await revision_of(store) == before


async def test_the_same_key_may_stand_in_both_branches(store: Store) -> None:
    assert (await store.txn([], [Put(K, b"1")], [Put(K, b"2")])).succeeded


async def test_a_transaction_has_a_greatest_number_of_operations(store: Store) -> None:
    most = [Put(f"/hx/v1/t/{n}", b"{}") for n in range(MAX_TXN_OPS)]
    assert (await store.txn([], most)).succeeded
    with pytest.raises(Invalid, match="128"):
        await store.txn([], [*most, Put(K, b"{}")])
    with pytest.raises(Invalid, match="128"):
        await store.txn([Compare(K, "mod", 0)] * (MAX_TXN_OPS + 1), [])
    assert len((await store.list("/hx/v1/t/"))[0]) == MAX_TXN_OPS


async def test_a_value_has_a_greatest_size(store: Store) -> None:
    await put(store, K, b"x" * MAX_VALUE_BYTES)
    with pytest.raises(TooLarge):
        await put(store, K, b"x" * (MAX_VALUE_BYTES + 1))
    with pytest.raises(TooLarge):
        await store.txn([], [Put(f"/hx/v1/t/{n}", b"x" * 800_000) for n in range(2)])
    entry = await store.get(K)
    assert entry is not None
    assert entry.version == 1


@pytest.mark.parametrize("key", ["", "a\0b", "a\ud800"])
async def test_what_is_no_key_is_refused(store: Store, key: str) -> None:
    with pytest.raises(Invalid):
        await put(store, key)
    with pytest.raises(Invalid):
        await store.get(key)
    with pytest.raises(Invalid):
        await store.txn([Compare(key, "mod", 0)], [])


async def test_a_compare_of_the_wrong_type_is_refused(store: Store) -> None:
    with pytest.raises(Invalid, match="value"):
        await store.txn([Compare(K, "value", 1)], [])
    with pytest.raises(Invalid, match="mod"):
        await store.txn([Compare(K, "mod", b"1")], [])


async def test_a_list_holds_what_begins_with_the_prefix_in_the_order_of_keys(store: Store) -> None:
    names = ["a", "a/1", "a/10", "a/2", "a0", "aé", "b", "a\U0001f600", "a\U0010ffff"]
    for name in names:
        await put(store, f"/hx/v1/l/{name}")
    entries, revision = await store.list("/hx/v1/l/a")
    assert [e.key for e in entries] == sorted(f"/hx/v1/l/{n}" for n in names if n.startswith("a"))
    assert [e.key for e in (await store.list("/hx/v1/l/a/"))[0]] == [f"/hx/v1/l/a/{n}" for n in ("1", "10", "2")]
    assert revision == entries[-1].mod if entries[-1].key.endswith("\U0010ffff") else revision
    assert {e.key for e in entries} <= {e.key for e in (await store.list(""))[0]}


async def test_a_list_tells_the_revision_it_was_read_at(store: Store) -> None:
    revision = await put(store, K)
    assert await store.list("/hx/v1/t/") == ([Entry(K, b"{}", revision, revision, 1, 0)], revision)


async def test_many_callers_count_to_the_exact_number(store: Store) -> None:
    """One counter, 8 callers, each adding 20 by compare-and-swap."""
    await put(store, K, b"0")
    lost = 0

    async def add() -> None:
        nonlocal lost
        for _ in range(20):
            while True:
                entry = await store.get(K)
                assert entry is not None
                swap = [Compare(K, "mod", entry.mod)], [Put(K, b"%d" % (int(entry.value) + 1))]
                if (await store.txn(*swap)).succeeded:
                    break
                lost += 1

    await asyncio.gather(*(add() for _ in range(8)))
    entry = await store.get(K)
    assert entry is not None
    assert (entry.value, entry.version) == (b"160", 161)
    assert lost > 0


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    lease = await store.lease(60)
    await store.aclose()
    await store.aclose()
    for call in (
        store.get(K),
        store.list(""),
        store.txn([], [Put(K, b"{}")]),
        store.lease(1),
        store.compact(1),
        store.try_lock("x", lease),
        lease.keepalive(),
        lease.revoke(),
        anext(store.watch("", 1)),
    ):
        with pytest.raises(Unavailable):
            await call


async def test_everything_is_there_after_a_restart(reopen: Reopen) -> None:
    store = await reopen()
    first = await put(store, K, b"1")
    second = await put(store, K, b"2")
    gone = await put(store, "/hx/v1/t/gone", b"1")
    deleted = (await store.txn([], [Delete("/hx/v1/t/gone")])).revision
    assert deleted == gone + 1
    store = await reopen()
    assert await store.list("") == ([Entry(K, b"2", first, second, 2, 0)], deleted)
    assert await put(store, K, b"3") == deleted + 1
