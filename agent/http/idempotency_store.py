"""Answers by idempotency key, in the Store: they survive a restart, and a retry finds them.

(none) -> running -> done (answer, or task) -> 24 h later: gone
             '-> forgotten, when the call failed or the agent died under it
"""

import hashlib
from collections.abc import Sequence
from itertools import islice

import msgspec

from agent.http.ports import Remembered
from horcrux.auth.principal import Principal
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, Conflict, Stale, Unprocessable
from horcrux.store import MAX_TXN_OPS, Collection, Delete, Document, Store

KEPT_S = 24 * 3600
SWEEP_EVERY_S = 3600


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`boot` names the life of `node`'s agent in which the call began: one that still runs under an earlier life never ends."""

    user: str
    fingerprint: str
    node: str
    boot: str
    begun_at: float
    answer: Remembered | None = None


class StoredAnswers:
    """The `IdempotencyStore` on a Store. `boot` is new at each start; nodes that share a store differ in `node`."""

    def __init__(self, store: Store, clock: Clock, boot: str, *, node: str = "") -> None:
        self._kept = Collection(store, "idempotency", KeptAnswer)
        self._store = store
        self._clock = clock
        self._boot = boot
        self._node = node
        self._sweep_at = clock.now() + SWEEP_EVERY_S

    async def begin(self, key: str, principal: Principal, fingerprint: str) -> Remembered | None:
        now = self._clock.now()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_EVERY_S
            await self._sweep(now)
        id_ = _id_of(key, principal)
        mine = KeptAnswer(user=principal.user, fingerprint=fingerprint, node=self._node, boot=self._boot, begun_at=now)
        try:
            await self._kept.create(id_, mine)
        except AlreadyExists:
            return await self._begin_again(id_, mine)
        return None

    async def _begin_again(self, id_: str, mine: KeptAnswer) -> Remembered | None:
        before = await self._kept.find(id_)
        if before is None:
            raise _still_running()  # forgotten between our two looks: the client's next try is the first again
        value = before.value
        if mine.begun_at - value.begun_at >= KEPT_S or self._is_abandoned(value):
            await self._take_over(id_, before, mine)
            return None
        if value.fingerprint != mine.fingerprint:
            raise Unprocessable("this Idempotency-Key came with another request before; use a new one")
        if value.answer is None:
            raise _still_running()
        return value.answer

    def _is_abandoned(self, value: KeptAnswer) -> bool:
        return value.answer is None and value.node == self._node and value.boot != self._boot

    async def _take_over(self, id_: str, before: Document[KeptAnswer], mine: KeptAnswer) -> None:
        try:
            await self._kept.replace(id_, before, mine)
        except Stale:
            raise _still_running() from None

    async def finish(self, key: str, principal: Principal, answer: Remembered) -> None:
        id_ = _id_of(key, principal)
        before = await self._kept.find(id_)
        if before is not None and before.value.boot == self._boot:
            await self._kept.replace(id_, before, msgspec.structs.replace(before.value, answer=answer))

    async def forget(self, key: str, principal: Principal) -> None:
        await self._kept.delete(_id_of(key, principal))

    async def _sweep(self, now: float) -> None:
        """What is older than a day is gone."""
        old = iter([d.key for d in await self._kept.list() if now - d.value.begun_at >= KEPT_S])
        while keys := list(islice(old, MAX_TXN_OPS)):
            deletes: Sequence[Delete] = [Delete(key) for key in keys]
            await self._store.txn([], deletes)


def _id_of(key: str, principal: Principal) -> str:
    """By user, not by token: a retry may come with a fresh session."""
    return hashlib.sha256(f"{principal.user}\n{key}".encode()).hexdigest()


def _still_running() -> Conflict:
    return Conflict("the first request with this Idempotency-Key still runs; ask again shortly")
