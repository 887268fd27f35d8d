"""A limit of bytes per second: a token bucket that says how long to wait. Time is handed in."""


class TokenBucket:
    """Holds at most a quarter of a second's worth, so that a pause is not made up for by a flood. Starts empty."""

    def __init__(self, bytes_per_s: float, now: float) -> None:
        self._rate = bytes_per_s
        self._most = bytes_per_s / 4
        self._at = now
        self._has = 0.0

    def take(self, amount: int, now: float) -> float:
        """Seconds to wait before `amount` bytes may go. What is taken is owed, so a piece of any size passes at last."""
        self._has = min(self._most, self._has + (now - self._at) * self._rate) - amount
        self._at = now
        return max(0.0, -self._has / self._rate)
