"""Time as something that is handed in, so that tests own it."""

from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch (UTC), for people and documents. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point (CLOCK_BOOTTIME on Linux), for durations and leases. Never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds` of this clock; cancellable."""
        ...
