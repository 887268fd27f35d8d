"""Leases of a store that keeps time itself (memory, SQLite): who still lives, and the end of those who do not.

add -> alive --keepalive--> alive
         |--deadline passed, or revoke--> ended --keys deleted--> gone
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from horcrux.clock import Clock
from horcrux.errors import HorcruxError, Invalid, Unavailable
from horcrux.store import LeaseLost

log = logging.getLogger(__name__)
RETRY_S = 1.0


class HeldLease:
    """`horcrux.store.Lease`."""

    def __init__(self, id_: int, ttl_s: int, leases: "Leases") -> None:
        self.id = id_
        self.ttl_s = ttl_s
        self._leases = leases

    async def keepalive(self) -> None:
        self._leases.keepalive(self.id)

    async def revoke(self) -> None:
        await self._leases.revoke(self.id)


class _Term:
    __slots__ = ("deadline", "is_ended", "keeper", "ttl_s")

    def __init__(self, ttl_s: int, deadline: float) -> None:
        self.ttl_s = ttl_s
        self.deadline = deadline
        self.is_ended = False
        self.keeper: asyncio.Task[None] | None = None


class Leases:
    """`end(id)` deletes the lease and its keys in a transaction that watchers see; doing it twice does no harm."""

    def __init__(self, clock: Clock, end: Callable[[int], Awaitable[None]]) -> None:
        self._clock = clock
        self._end = end
        self._terms: dict[int, _Term] = {}
        self._is_closed = False

    def add(self, lease_id: int, ttl_s: int) -> HeldLease:
        term = _Term(ttl_s, self._clock.monotonic() + ttl_s)
        self._terms[lease_id] = term
        term.keeper = asyncio.create_task(self._keep(lease_id, term), name=f"lease {lease_id}")
        return HeldLease(lease_id, ttl_s, self)

    def is_alive(self, lease_id: int) -> bool:
        """False from the deadline on, also while its keys are still to be deleted. May be asked from any thread."""
        term = self._terms.get(lease_id)
        return term is not None and not term.is_ended and self._clock.monotonic() < term.deadline

    def keepalive(self, lease_id: int) -> None:
        if self._is_closed:
            raise Unavailable("the store is closed")
        if not self.is_alive(lease_id):
            raise LeaseLost(f"lease {lease_id} has ended", lease=lease_id)
        term = self._terms[lease_id]
        term.deadline = self._clock.monotonic() + term.ttl_s

    async def revoke(self, lease_id: int) -> None:
        """When deleting fails (disk full), it is ended all the same and its keys go as soon as that is possible."""
        term = self._terms.get(lease_id)
        if term is not None:
            term.is_ended = True
        await self._end(lease_id)
        self._terms.pop(lease_id, None)
        if term is not None and term.keeper is not None:
            term.keeper.cancel()

    async def aclose(self) -> None:
        """Nothing expires any more; what the store keeps of a lease stays."""
        self._is_closed = True
        keepers = [term.keeper for term in self._terms.values() if term.keeper is not None]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, lease_id: int, term: _Term) -> None:
        while (left_s := term.deadline - self._clock.monotonic()) > 0:
            await self._clock.sleep(left_s)
        term.is_ended = True
        while lease_id in self._terms:
            try:
                await self._end(lease_id)
                self._terms.pop(lease_id, None)
            except HorcruxError as err:
                log.warning("lease %d has ended but its keys stay for now: %s", lease_id, err)
                await self._clock.sleep(RETRY_S)


def check_ttl(ttl_s: int) -> None:
    if ttl_s < 1:
        raise Invalid(f"a lease lives at least 1 s, not {ttl_s}")
