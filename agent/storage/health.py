"""Watches the pools of this node, so that a disk that fails is told when it happens and not when somebody looks.

good <-> degraded <-> faulted: every change is an event `pool` and a line in the log, once
"""

import logging
from collections.abc import Awaitable, Callable

from horcrux.clock import Clock
from horcrux.errors import HorcruxError
from horcrux.storage.bodies import PoolView
from horcrux.storage.pool import Health

log = logging.getLogger(__name__)

EVERY_S = 30.0
"""How long a pool may be worse than it is shown to those who only listen; who asks is told how it is now."""


class PoolWatch:
    """`views` answers every pool as it is now; `tell` lets those who listen know of one."""

    def __init__(
        self, views: Callable[[], Awaitable[list[PoolView]]], tell: Callable[[PoolView], None], clock: Clock
    ) -> None:
        self._views = views
        self._tell = tell
        self._clock = clock
        self._known: dict[str, tuple[Health, tuple[str, ...]]] = {}

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Whatever has changed since the last look has been told. What is good at the first look is nothing to tell."""
        try:
            views = await self._views()
        except HorcruxError as err:
            log.warning("the pools cannot be looked at: %s", err)
            return
        for view in views:
            words = (*view.problems, view.reason) if view.reason else view.problems
            was = self._known.get(view.id, (Health.GOOD, ()))
            self._known[view.id] = now = (view.health, words)
            if now != was:
                self._say(view, words)
                self._tell(view)
        self._known = {view.id: self._known[view.id] for view in views}

    def _say(self, view: PoolView, words: tuple[str, ...]) -> None:
        if view.health is Health.GOOD and not words:
            log.info("pool %s is good again", view.id)
        else:
            log.warning("pool %s is %s: %s", view.id, view.health, "; ".join(words))
