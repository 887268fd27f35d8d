"""Waiting for what other tasks, threads and processes do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

TIMEOUT_S = 20.0
"""Of waiting for a condition; only a failing test takes it."""

T = TypeVar("T")


async def eventually(is_so: Callable[[], bool]) -> None:
    """Returns when it is so; other tasks and threads run meanwhile."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():
            await asyncio.sleep(0.001)


async def until(
    look: Callable[[], Awaitable[T]],
    is_it: Callable[[T], bool] = bool,
    *,
    timeout_s: float = TIMEOUT_S,
    every_s: float = 0.02,
) -> T:
    """What `look` saw when it was it. As `eventually`, for what has to be asked for; TimeoutError when it takes too long."""
    async with asyncio.timeout(timeout_s):
        while not is_it(seen := await look()):
            await asyncio.sleep(every_s)
        return seen


def block_until(
    look: Callable[[], T], is_it: Callable[[T], bool] = bool, *, timeout_s: float = TIMEOUT_S, every_s: float = 0.02
) -> T:
    """As `until`, for plain `def` tests; the error of one that takes too long holds what was seen last."""
    deadline = time.monotonic() + timeout_s
    while not is_it(seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {timeout_s:g} s: {seen}")
        time.sleep(every_s)
    return seen
