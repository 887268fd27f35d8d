"""A clock that stands still until the test moves it."""

import asyncio


class FakeClock:
    """`horcrux.clock.Clock`. `now` and `monotonic` move together; `step` moves only the wall clock."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """How many calls of `sleep` have not returned."""
        return len(self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = (self._monotonic + seconds, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    def advance(self, seconds: float) -> None:
        """Time is later; sleepers that are due go on in the order of their deadlines, at the loop's next turns."""
        self._now += seconds
        self._monotonic += seconds
        for deadline, future in sorted(self._sleepers, key=lambda sleeper: sleeper[0]):
            if deadline <= self._monotonic and not future.done():
                future.set_result(None)

    def step(self, seconds: float) -> None:
        """The wall clock jumps, as when an operator sets it; durations are not touched."""
        self._now += seconds
