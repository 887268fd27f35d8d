"""The Store in memory: for tests, and the plainest reading of what the others have to do."""

import asyncio
from collections.abc import Sequence
from itertools import count

from cluster.store.entries import SortedEntries
from cluster.store.history import History, HistoryWatch, compacted
from cluster.store.leases import HeldLease, Leases, check_ttl
from cluster.store.lock import Locks
from cluster.store.txn import check_key, check_txn, evaluate
from horcrux.clock import Clock
from horcrux.errors import Invalid, Unavailable
from horcrux.store import Compare, Delete, Entry, Event, Lease, Op, TxnResult

KEPT_EVENTS = 20_000
KEPT_BYTES = 64 * 1024**2


class _Rows:
    """`cluster.store.txn.Rows`."""

    def __init__(self, leases: Leases) -> None:
        self.entries = SortedEntries()
        self.by_lease: dict[int, set[str]] = {}
        self._leases = leases

    def get(self, key: str) -> Entry | None:
        return self.entries.get(key)

    def put(self, entry: Entry) -> None:
        self._detach(entry.key)
        if entry.lease:
            self.by_lease.setdefault(entry.lease, set()).add(entry.key)
        self.entries.put(entry)

    def remove(self, entry: Entry) -> None:
        self._detach(entry.key)
        self.entries.remove(entry.key)

    def has_lease(self, lease_id: int) -> bool:
        return self._leases.is_alive(lease_id)

    def _detach(self, key: str) -> None:
        old = self.entries.get(key)
        if old is not None and old.lease:
            self.by_lease[old.lease].discard(key)


class MemoryStore:
    """`horcrux.store.Store`, gone with the process."""

    def __init__(self, clock: Clock) -> None:
        self._leases = Leases(clock, self._end_lease)
        self._rows = _Rows(self._leases)
        self._history = History(1, first=1, max_events=KEPT_EVENTS, max_bytes=KEPT_BYTES)
        self._locks = Locks(self)
        self._lease_ids = count(1)

    async def get(self, key: str) -> Entry | None:
        check_key(key)
        await self._turn()
        return self._rows.get(key)

    async def list(self, prefix: str) -> tuple[list[Entry], int]:
        await self._turn()
        return self._rows.entries.below(prefix), self._history.revision

    async def txn(self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()) -> TxnResult:
        check_txn(compares, then, otherwise)
        await self._turn()
        outcome = evaluate(self._rows, self._history.revision, compares, then, otherwise)
        self._history.publish(outcome.events)
        return outcome.result

    def watch(self, prefix: str, from_revision: int) -> HistoryWatch:
        return HistoryWatch(self._history, prefix, from_revision, self._replay)

    async def lease(self, ttl_s: int) -> HeldLease:
        check_ttl(ttl_s)
        await self._turn()
        return self._leases.add(next(self._lease_ids), ttl_s)

    async def revoke_lease(self, lease_id: int) -> None:
        await self._leases.revoke(lease_id)

    async def lock(self, name: str, lease: Lease, holder: bytes = b"") -> int:
        return await self._locks.lock(name, lease, holder)

    async def try_lock(self, name: str, lease: Lease, holder: bytes = b"") -> int | None:
        return await self._locks.try_lock(name, lease, holder)

    async def unlock(self, name: str, token: int) -> None:
        await self._locks.unlock(name, token)

    async def compact(self, revision: int) -> None:
        await self._turn()
        if revision > self._history.revision:
            raise Invalid(f"revision {revision} is still to come, the store is at {self._history.revision}")
        self._history.forget_before(revision)

    async def aclose(self) -> None:
        self._history.close()
        await self._leases.aclose()

    async def _turn(self) -> None:
        """Others run first, as they would while a real store is asked."""
        await asyncio.sleep(0)
        if self._history.is_closed:
            raise Unavailable("the store is closed")

    async def _end_lease(self, lease_id: int) -> None:
        await self._turn()
        keys = sorted(self._rows.by_lease.get(lease_id, ()))
        outcome = evaluate(self._rows, self._history.revision, [], [Delete(key) for key in keys], [])
        self._rows.by_lease.pop(lease_id, None)
        self._history.publish(outcome.events)

    async def _replay(self, revision: int) -> tuple[Sequence[Event], int]:
        raise compacted(revision, self._history.first)
