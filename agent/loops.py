"""What runs in the background for as long as the node does."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Self

from horcrux.errors import HorcruxError

log = logging.getLogger("horcrux.agent")


class LoopFailed(HorcruxError):
    """The node cannot go on without what ran there."""


class Loops:
    """Background loops: one that fails ends the node, the node's end cancels them."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    def run(self, name: str, loop: Awaitable[None]) -> None:
        async def kept() -> None:
            try:
                await loop
            except Exception as err:
                log.exception("%s, which runs in the background, failed: the agent ends", name)
                words = f"{name}, which runs in the background, failed: {err or type(err).__name__}; running VMs go on"
                raise LoopFailed(words) from err

        self._running.append(self._group.create_task(kept(), name=name))

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(*error)  # type: ignore[arg-type]  # the three of the protocol
