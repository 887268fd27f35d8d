"""One sign-in of an account at a time, so that guesses sent all at once are counted one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from horcrux.errors import RateLimited

MAX_WAITING = 64
"""Sign-ins under way in all; each waits for 0.1 s of hashing, so more would only wait longer than people do."""


class Turns:
    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._waiting = 0

    @asynccontextmanager
    async def of(self, account: str) -> AsyncIterator[None]:
        """The body runs alone for this account, in the order of arrival; RateLimited when too many wait."""
        if self._waiting >= MAX_WAITING:
            raise RateLimited("too many sign-ins at once: try again in a moment", retry_after_s=1)
        lock, users = self._locks.get(account, (asyncio.Lock(), 0))
        self._locks[account] = (lock, users + 1)
        self._waiting += 1
        try:
            async with lock:
                yield
        finally:
            self._waiting -= 1
            lock, users = self._locks.pop(account)
            if users > 1:
                self._locks[account] = (lock, users - 1)
