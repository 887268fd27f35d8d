"""Locks as etcd's recipe has them, on any Store: fair by a queue of keys, safe by a fencing token.

The lock is the key `/hx/v1/lock/<name>`, its create revision the token. Who finds it taken puts a key below
`/hx/v1/lock-queue/<name>/`, under its own lease; its place is that key's create revision. The first in the queue takes
the lock when its key is gone, and leaves the queue in the same transaction.

    nobody waits and free --> held
    else --> queued --first and free--> held          queued --lease ended--> LeaseLost
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from itertools import count

from cluster.store.finish import finished
from horcrux.errors import HorcruxError
from horcrux.store import Compacted, Compare, Delete, Get, Lease, LeaseLost, Op, Put, Store, TxnResult, lock_key

_WATCHED_PREFIX = "/hx/v1/lock"
"""What locks and queues have in common: one watch sees both."""


class Locks:
    """The lock calls of a store, made of its other calls. A lock is not reentrant: a second call under the same lease
    waits like any other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._places = count(1)

    async def lock(self, name: str, lease: Lease, holder: bytes) -> int:
        """The fencing token. Cancelled or failed, neither the lock nor a place in the queue is left behind."""
        place = f"{queue_prefix(name)}{lease.id:016x}-{next(self._places)}"
        take, join = Put(lock_key(name), holder, lease.id), Put(place, b"", lease.id)
        waiting, _ = await self._store.list(queue_prefix(name))
        try:
            if waiting:
                await self._store.txn([], [join])
            else:
                result = await self._take(name, [], [take], [join])
                if result.succeeded:
                    return result.revision
            return await self._wait_turn(name, place, take)
        except BaseException:
            with suppress(HorcruxError):  # the end of the lease does it otherwise
                await self._store.txn([], [Delete(place)])
            raise

    async def try_lock(self, name: str, lease: Lease, holder: bytes) -> int | None:
        """One transaction, no queue: in the moment between a holder and the first waiter it may come first."""
        result = await self._take(name, [], [Put(lock_key(name), holder, lease.id)], [])
        return result.revision if result.succeeded else None

    async def unlock(self, name: str, token: int) -> None:
        await self._store.txn([Compare(lock_key(name), "create", token)], [Delete(lock_key(name))])

    async def _wait_turn(self, name: str, place: str, take: Put) -> int:
        while True:
            queue, revision = await self._store.list(queue_prefix(name))
            first = min(queue, key=lambda entry: entry.create, default=None)
            if not any(entry.key == place for entry in queue):
                raise _lost(name)
            if first is not None and first.key == place:
                ours = Compare(place, "create", first.create)
                result = await self._take(name, [ours], [take, Delete(place)], [Get(place)])
                if result.succeeded:
                    return result.revision
                if result.gets[0] is None:
                    raise _lost(name)
                revision = result.revision
            await self._deleted_after(revision, name)

    async def _take(self, name: str, also: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op]) -> TxnResult:
        """The transaction if the lock is free. When we are cancelled and it took the lock, the lock is freed again."""
        attempt = asyncio.ensure_future(self._store.txn([Compare(lock_key(name), "create", 0), *also], then, otherwise))
        try:
            return await finished(attempt)
        except asyncio.CancelledError:
            if not attempt.cancelled() and attempt.exception() is None and attempt.result().succeeded:
                with suppress(HorcruxError):  # the end of the lease does it otherwise
                    await self.unlock(name, attempt.result().revision)
            raise

    async def _deleted_after(self, revision: int, name: str) -> None:
        """The lock, or a place in its queue, has gone since `revision`."""
        with suppress(Compacted):  # too late to see it: whoever waits looks again
            async with aclosing(self._store.watch(_WATCHED_PREFIX, revision + 1)) as changes:
                async for event in changes:
                    key = event.entry.key
                    if event.kind == "delete" and (key == lock_key(name) or key.startswith(queue_prefix(name))):
                        return


def queue_prefix(name: str) -> str:
    return f"/hx/v1/lock-queue/{name}/"


def _lost(name: str) -> LeaseLost:
    return LeaseLost(f"the lease ended while it waited for the lock {name}")
