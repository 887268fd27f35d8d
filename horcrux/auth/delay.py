"""The delay after failed sign-ins of one account: guessing gets slow, nobody is locked out for good.

    failures   0..4   5    6    7    8    9    10 and more
    wait, s    0      1    2    4    8    16   30

A success forgets them, and so do 15 minutes without a failure. Names that do not exist are treated alike.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from horcrux.errors import RateLimited

FREE_FAILURES = 5
MAX_WAIT_S = 30.0
FORGET_AFTER_S = 900.0
MAX_ACCOUNTS = 10_000
"""Names remembered; beyond that the one whose last failure is longest ago is forgotten."""


class _Failures(msgspec.Struct, frozen=True):
    count: int
    last_at: float


def wait_after(failures: int) -> float:
    """Seconds to wait after that many failures in a row."""
    if failures < FREE_FAILURES:
        return 0.0
    return min(MAX_WAIT_S, 2.0 ** min(failures - FREE_FAILURES, 5))


class SignInDelay:
    """Failures by account, on one node and in memory. `now` is a monotonic clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def check(self, account: str) -> None:
        """Raises RateLimited while `account` has to wait."""
        known = self._failures.get(account)
        if known is None:
            return
        left_s = known.last_at + wait_after(known.count) - self._now()
        if left_s > 0:
            seconds = math.ceil(left_s)
            raise RateLimited(
                f"too many failed sign-ins for this account: try again in {seconds} s", retry_after_s=seconds
            )

    def failed(self, account: str) -> int:
        """One more failure; the number in a row."""
        now = self._now()
        known = self._failures.pop(account, None)
        count = 1 if known is None or now - known.last_at > FORGET_AFTER_S else known.count + 1
        self._failures[account] = _Failures(count, now)
        if len(self._failures) > MAX_ACCOUNTS:
            self._failures.popitem(last=False)
        return count

    def succeeded(self, account: str) -> None:
        self._failures.pop(account, None)
