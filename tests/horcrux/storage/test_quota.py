from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.errors import InvalidFields, QuotaExceeded, status_of
from horcrux.ids import PoolId
from horcrux.storage.quota import Allocation, NewQuota, Quota, admit_allocations, check_limit_gb, used_bytes
from horcrux.units import GIB

POOLS, USERS = ("fast", "slow"), ("ann", "bob", "")


def kept(pool: str, volume: str, user: str, size: int) -> Allocation:
    return Allocation(pool=PoolId(pool), volume=volume, user=user, capacity_bytes=size)


allocations = st.builds(
    kept,
    st.sampled_from(POOLS),
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(USERS),
    st.integers(0, 100),
)
several = st.lists(allocations, max_size=6, unique_by=lambda one: one.key)
quotas = st.lists(
    st.builds(
        lambda id_, pool, user, limit: Quota(id=str(id_), pool=pool, user=user, limit_bytes=limit),
        st.integers(0, 9),
        st.none() | st.sampled_from([PoolId(pool) for pool in POOLS]),
        st.none() | st.sampled_from(USERS),
        st.integers(0, 300),
    ),
    max_size=4,
    unique_by=lambda quota: quota.id,
)


def refusal(limits: list[Quota], there: list[Allocation], wanted: list[Allocation]) -> Mapping[str, Any] | None:
    """Details of the refusal, None when it is admitted."""
    try:
        admit_allocations(limits, there, wanted)
    except QuotaExceeded as refused:
        return refused.details
    return None


@pytest.mark.parametrize(
    ("pool", "user", "counted"), [("fast", None, 3), ("slow", None, 4), (None, "ann", 5), ("fast", "ann", 1)]
)
def test_a_quota_counts_what_it_names(pool: str | None, user: str | None, counted: int) -> None:
    quota = Quota(id="q", pool=None if pool is None else PoolId(pool), user=user, limit_bytes=0)
    all_ = [kept("fast", "a", "ann", 1), kept("fast", "b", "bob", 2), kept("slow", "a", "ann", 4)]
    assert used_bytes(quota, all_) == counted


@given(quotas, several, several)
def test_what_is_admitted_goes_over_no_quota_that_was_kept_to(
    limits: list[Quota], there: list[Allocation], wanted: list[Allocation]
) -> None:
    refused = refusal(limits, there, wanted)
    if refused is not None:
        quota = next(one for one in limits if one.id == refused["quota"])
        assert refused["asked_bytes"] > 0
        assert refused["used_bytes"] == used_bytes(quota, there)
        assert refused["used_bytes"] + refused["asked_bytes"] > refused["limit_bytes"] == quota.limit_bytes
        return
    replaced = {one.key for one in wanted}
    after = [one for one in there if one.key not in replaced] + wanted
    for quota in limits:
        before = used_bytes(quota, there)
        assert used_bytes(quota, after) <= max(quota.limit_bytes, before)


def test_a_refusal_has_the_numbers_the_bounds_and_the_next_step() -> None:
    quota = Quota(id="q", pool=PoolId("fast"), user="ann", limit_bytes=10 * GIB)
    there = [kept("fast", "a", "ann", 8 * GIB)]
    with pytest.raises(
        QuotaExceeded, match=r"user ann in pool fast 10.* GiB: 8.* GiB are taken.* 3.* GiB more; delete"
    ) as err:
        admit_allocations([quota], there, [kept("fast", "b", "ann", 3 * GIB)])
    assert (err.value.code, status_of(err.value)) == ("quota_exceeded", 409)
    assert err.value.details == {
        "quota": "q",
        "pool": "fast",
        "user": "ann",
        "limit_bytes": 10 * GIB,
        "used_bytes": 8 * GIB,
        "asked_bytes": 3 * GIB,
    }


def test_growing_counts_only_what_is_added() -> None:
    quota = Quota(id="q", pool=PoolId("fast"), limit_bytes=10)
    there = [kept("fast", "a", "ann", 6)]
    admit_allocations([quota], there, [kept("fast", "a", "ann", 10)])
    with pytest.raises(QuotaExceeded):
        admit_allocations([quota], there, [kept("fast", "a", "ann", 11)])


def test_what_leaves_in_exchange_does_not_count_twice() -> None:
    quotas = [Quota(id="u", user="ann", limit_bytes=10), Quota(id="p", pool=PoolId("slow"), limit_bytes=7)]
    there = [kept("fast", "a", "ann", 8)]
    with pytest.raises(QuotaExceeded, match="quota p"):
        admit_allocations(quotas, there, [kept("slow", "a", "ann", 8)], ["fast/a"])
    admit_allocations(quotas[:1], there, [kept("slow", "a", "ann", 8)], ["fast/a"])


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (NewQuota(limit_gb=1), "pool"),
        (NewQuota(pool="../x", limit_gb=1), "pool"),
        (NewQuota(user="Ann!", limit_gb=1), "user"),
        (NewQuota(pool="fast", limit_gb=-1), "limit_gb"),
        (NewQuota(pool="fast", limit_gb=1e12), "limit_gb"),
        (NewQuota(pool="fast", limit_gb=float("nan")), "limit_gb"),
        (NewQuota(id="a b", pool="fast", limit_gb=1), "id"),
    ],
)
def test_a_wrong_quota_names_the_field(order: NewQuota, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        order.checked()
    assert [problem.field for problem in caught.value.problems] == [field]


def test_a_quota_without_an_id_is_named_after_what_it_bounds() -> None:
    assert NewQuota(pool="fast", user="ann@home", limit_gb=1).checked().id == "ann-home.fast"
    assert NewQuota(pool="fast", limit_gb=1).checked().id == "fast"
    assert check_limit_gb(0) == 0
