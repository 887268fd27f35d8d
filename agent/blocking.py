"""Named thread pools: one for each library that blocks, so that a slow one starves nobody else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class BlockingPool:
    """Runs blocking calls of one library on its own threads. Close it when its owner closes."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._calls: set[asyncio.Future[object]] = set()

    async def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Result of `fn` on a thread of this pool. A started call is awaited even when we are cancelled, so that
        nothing changes behind our back; its own exceptions pass unchanged."""
        call = asyncio.get_running_loop().run_in_executor(self._executor, lambda: fn(*args, **kwargs))
        self._calls.add(call)  # type: ignore[arg-type]  # Future is invariant; nobody reads the result
        call.add_done_callback(self._calls.discard)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            while not call.done():
                with suppress(asyncio.CancelledError):  # asked again: the first request is on its way already
                    await asyncio.wait([call])
            if not call.cancelled():
                call.exception()  # looked at, so that asyncio does not report it as forgotten
            raise

    def leave(self) -> int:
        """Whoever waits for a call is cancelled, and threads that hang are left to themselves; their number. On the loop."""
        stuck = list(self._calls)
        self._executor.shutdown(wait=False, cancel_futures=True)
        for call in stuck:
            call.cancel()
        return len(stuck)

    def close(self) -> None:
        """Waits for calls under way; blocks, so the loop is left before."""
        self._executor.shutdown(wait=True)
