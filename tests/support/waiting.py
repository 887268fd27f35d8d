"""Waiting for what other tasks, threads and processes do."""

import asyncio
from collections.abc import Callable

TIMEOUT_S = 20.0
"""Of waiting for a condition; only a failing test takes it."""


async def eventually(is_so: Callable[[], bool]) -> None:
    """Returns when it is so; other tasks and threads run meanwhile."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():
            await asyncio.sleep(0.001)
