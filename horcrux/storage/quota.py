"""Quotas: how much may be provisioned in a pool, by a user, or by a user in a pool.

What counts is what volumes may grow to, not what is written in them: a quota keeps its word also when every guest fills its
disks. Each volume has an `Allocation`, made before the volume and gone after it; a quota's use is the sum of those it counts.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import msgspec

from horcrux.errors import QuotaExceeded, invalid_field
from horcrux.ids import PoolId, check_name, check_user
from horcrux.storage.volume import MAX_SIZE_GB
from horcrux.units import bytes_to_gib, gib_to_bytes


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `quota` in the Store. `pool` alone: that pool; `user` alone: that user in all pools; both: that user in that pool."""

    id: str
    pool: PoolId | None = None
    user: str | None = None
    limit_bytes: int

    def counts(self, one: "Allocation") -> bool:
        return self.pool in {None, one.pool} and self.user in {None, one.user}

    @property
    def bounds(self) -> str:
        """What it bounds, in words."""
        pool = "" if self.pool is None else f"pool {self.pool}"
        user = "" if self.user is None else f"user {self.user}"
        return " in ".join(part for part in (user, pool) if part)


class QuotaTouch(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `quota-touch` in the Store: rewritten in each transaction that takes from the quota of that id, so that of two at
    the same time one has to look again, and the quota's own revision stays what its readers know."""

    quota: str


class Allocation(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `allocation` in the Store, under `<pool>/<volume>`. `user` is "" where nobody is known to have made the volume."""

    pool: PoolId
    volume: str
    user: str
    capacity_bytes: int

    @property
    def key(self) -> str:
        return allocation_key(self.pool, self.volume)


def allocation_key(pool: str, volume: str) -> str:
    return f"{pool}/{volume}"


def used_bytes(quota: Quota, kept: Iterable[Allocation]) -> int:
    return sum(one.capacity_bytes for one in kept if quota.counts(one))


def admit_allocations(
    quotas: Sequence[Quota], kept: Sequence[Allocation], wanted: Sequence[Allocation], leaving: Iterable[str] = ()
) -> None:
    """Nothing, when `wanted` may be kept. An entry of `wanted` takes the place of what is kept under its key; what is kept under
    a key of `leaving` is about to go and does not count. QuotaExceeded, with the numbers, for the first quota in the way;
    what takes no more than before is never refused, whatever the limit has become."""
    replaced = {one.key for one in wanted} | set(leaving)
    going = [one for one in kept if one.key in replaced]
    for quota in quotas:
        asked = used_bytes(quota, wanted) - used_bytes(quota, going)
        used = used_bytes(quota, kept)
        if asked > 0 and used + asked > quota.limit_bytes:
            raise _exceeded(quota, used, asked)


def _exceeded(quota: Quota, used: int, asked: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"quota {quota.id} allows {quota.bounds} {bytes_to_gib(quota.limit_bytes)} GiB: {bytes_to_gib(used)} GiB are taken, "
        f"and this asks for {bytes_to_gib(asked)} GiB more; delete what is not needed, or have the limit raised",
        quota=quota.id,
        pool=quota.pool,
        user=quota.user,
        limit_bytes=quota.limit_bytes,
        used_bytes=used,
        asked_bytes=asked,
    )


class NewQuota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pool` alone: that pool; `user` alone: that user in all pools; both: that user in that pool."""

    id: str | None = None
    """None: made of the pool's id and the user's name."""
    pool: str | None = None
    user: str | None = None
    limit_gb: float

    def checked(self) -> Quota:
        """InvalidFields. Whether there is such a pool is for the caller to find out."""
        if self.pool is None and self.user is None:
            raise invalid_field("pool", "a quota needs a pool, a user, or both")
        pool = None if self.pool is None else PoolId(check_name(self.pool, "pool"))
        user = None if self.user is None else check_user(self.user, "user")
        id_ = ".".join(part for part in (user, pool) if part).replace("@", "-") if self.id is None else self.id
        return Quota(id=check_name(id_, "id"), pool=pool, user=user, limit_bytes=check_limit_gb(self.limit_gb))


class QuotaChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit below what is taken is fine: nothing is lost, and nothing more can be taken."""

    limit_gb: float


class QuotaView(msgspec.Struct, frozen=True, kw_only=True):
    """`used` is what volumes may grow to, as is the limit: VMs' disks, templates' disks and plain volumes."""

    id: str
    pool: str | None
    user: str | None
    limit_gb: float
    limit_bytes: int
    used_gb: float
    used_bytes: int
    revision: int
    """The ETag's number, for If-Match."""

    @classmethod
    def of(cls, quota: Quota, revision: int, kept: Iterable[Allocation]) -> Self:
        used = used_bytes(quota, kept)
        return cls(
            id=quota.id,
            pool=quota.pool,
            user=quota.user,
            limit_gb=bytes_to_gib(quota.limit_bytes),
            limit_bytes=quota.limit_bytes,
            used_gb=bytes_to_gib(used),
            used_bytes=used,
            revision=revision,
        )


MAX_LIMIT_GB = 1024 * MAX_SIZE_GB


def check_limit_gb(value: float) -> int:
    """Bytes of `value` GiB, when it is 0 (nothing more may be taken) or more."""
    if not 0 <= value <= MAX_LIMIT_GB:
        raise invalid_field("limit_gb", f"a size in GiB from 0 to {MAX_LIMIT_GB}")
    return gib_to_bytes(value)
