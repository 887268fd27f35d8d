"""What goes through on its way to the peer: counted, and held to the limit."""

from collections.abc import AsyncIterator, Callable

from horcrux.clock import Clock
from horcrux.replication.rate import TokenBucket


class Pump:
    """One for a run, so that the limit holds for all its streams together. `count` hears of every piece."""

    def __init__(self, limit_bytes_per_s: float | None, clock: Clock, count: Callable[[int], None]) -> None:
        self._bucket = None if limit_bytes_per_s is None else TokenBucket(limit_bytes_per_s, clock.monotonic())
        self._clock = clock
        self._count = count

    async def through(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same pieces, each when its time has come."""
        async for piece in content:
            if self._bucket is not None:
                wait_s = self._bucket.take(len(piece), self._clock.monotonic())
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
            yield piece
            self._count(len(piece))
