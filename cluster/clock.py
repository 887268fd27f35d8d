"""The real clock."""

import asyncio
import time

_SLICE_S = 30.0


class SystemClock:
    """`horcrux.clock.Clock` on this host."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """In slices: the loop's own timer stands still while the host is suspended, CLOCK_BOOTTIME does not."""
        deadline = self.monotonic() + seconds
        while (left := deadline - self.monotonic()) > 0:  # noqa: ASYNC110 -- time is the condition
            await asyncio.sleep(min(left, _SLICE_S))
