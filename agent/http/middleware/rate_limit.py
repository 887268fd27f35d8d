"""Moving windows in memory, one a subject and limit: in any stretch of the window's length at most N requests are served.

A deque of times instead of the `limits` library: its memory storage starts a thread for each burst of requests (230 us of CPU
each, measured with 5.8) and counts by the wall clock, which jumps.
"""

import ipaddress
import math
from collections import deque
from collections.abc import Mapping

from aiohttp import web

from agent.http.ports import Quota
from agent.http.route import Limit
from agent.http.settings import HttpSettings
from horcrux.clock import Clock
from horcrux.errors import RateLimited

SWEEP_EVERY = 4096
"""Requests between two looks for subjects whose windows are empty."""


class Window:
    """Of one kind of request: `limit` in `length_s`."""

    def __init__(self, limit: int, length_s: int) -> None:
        self.limit = limit
        self.length_s = length_s
        self._times: dict[str, deque[float]] = {}

    def retry_after_s(self, subject: str, now: float) -> int | None:
        """None when another request of `subject` fits, else seconds until one does."""
        times = self._times.get(subject)
        if times is None:
            return None
        while times and times[0] <= now - self.length_s:
            times.popleft()
        if len(times) < self.limit:
            return None
        return max(1, math.ceil(times[0] + self.length_s - now)) if times else self.length_s

    def count(self, subject: str, now: float) -> Quota:
        times = self._times.setdefault(subject, deque())
        times.append(now)
        reset_s = max(1, math.ceil(times[0] + self.length_s - now))
        return Quota(self.limit, self.limit - len(times), reset_s)

    def sweep(self, now: float) -> None:
        """Subjects whose last request has left the window take no memory any more."""
        for subject in [s for s, times in self._times.items() if not times or times[-1] <= now - self.length_s]:
            del self._times[subject]


class MovingWindows:
    """The `RateLimiter`. `Limit.BACKUP` counts in its own window and in the general one."""

    def __init__(self, settings: HttpSettings, clock: Clock) -> None:
        self._is_on = settings.is_rate_limited
        self._clock = clock
        general = Window(settings.requests_per_hour, 3600)
        self._windows: Mapping[Limit, tuple[Window, ...]] = {
            Limit.DEFAULT: (general,),
            Limit.BACKUP: (Window(settings.backups_per_minute, 60), general),
            Limit.LOGIN: (Window(settings.logins_per_minute, 60),),
            Limit.NONE: (),
        }
        self._seen = 0

    def admit(self, limit: Limit, subject: str) -> Quota | None:
        windows = self._windows[limit]
        if not self._is_on or not windows:
            return None
        now = self._clock.monotonic()
        self._seen += 1
        if self._seen % SWEEP_EVERY == 0:
            self._sweep(now)
        for window in windows:
            retry_after_s = window.retry_after_s(subject, now)
            if retry_after_s is not None:
                raise RateLimited(
                    f"more than {window.limit} requests in {window.length_s} s; try again in {retry_after_s} s",
                    retry_after_s=retry_after_s,
                )
        quotas = [window.count(subject, now) for window in windows]
        return quotas[0] if len(quotas) == 1 else min(quotas, key=lambda quota: quota.remaining)

    def refused(self, limit: Limit, retry_after_s: int) -> Quota:
        """For the headers of a 429."""
        windows = self._windows[limit] or self._windows[Limit.DEFAULT]
        return Quota(windows[0].limit, 0, retry_after_s)

    def _sweep(self, now: float) -> None:
        for windows in self._windows.values():
            for window in windows:
                window.sweep(now)


class Addresses:
    """Who the client is, by address: the peer, or what a trusted proxy says of it. IPv6 counts by /64."""

    def __init__(self, settings: HttpSettings) -> None:
        self._proxies = tuple(ipaddress.ip_network(entry, strict=False) for entry in settings.trusted_proxies)

    def of(self, raw: web.Request) -> str:
        peer = raw.remote or "local"
        if not self._proxies:
            return peer
        for hop in reversed([*raw.headers.get("X-Forwarded-For", "").split(","), peer]):
            address = hop.strip()
            if not address:
                continue
            if not self._is_trusted(address):
                return _canonical(address) or peer
            peer = address
        return peer

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def _canonical(address: str) -> str | None:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return None


def subject_of(address: str) -> str:
    """What an address counts as: a home network has 2**64 IPv6 addresses, and is one client."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
