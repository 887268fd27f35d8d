"""Starts replications when they are due."""

import logging

from agent.asked import Asked
from agent.replication.service import Replications
from horcrux.clock import Clock
from horcrux.errors import Busy, HorcruxError
from horcrux.replication.bodies import RunReplication
from horcrux.replication.replication import ReplicationId

log = logging.getLogger("horcrux.replication")

LOOK_EVERY_S = 5.0
AGAIN_S = 60.0
"""How long one whose volumes another task has is left alone."""


class ReplicationScheduler:
    """`asked` is whom its tasks are booked under."""

    def __init__(self, replications: Replications, clock: Clock, asked: Asked) -> None:
        self._replications = replications
        self._clock = clock
        self._asked = asked
        self._not_before: dict[ReplicationId, float] = {}

    async def follow(self) -> None:
        """Until cancelled. A run that is due while the last one still runs begins after it, once."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Every replication that is due has a task, or the log says why not."""
        now = self._clock.monotonic()
        self._not_before = {id_: at for id_, at in self._not_before.items() if at > now}
        for id_ in self._replications.due():
            if id_ in self._not_before:
                continue
            try:
                await self._replications.run(id_, RunReplication(), self._asked)
            except Busy as err:
                log.info("replication %s is due and has to wait: %s", id_, err)
                self._not_before[id_] = now + AGAIN_S
            except HorcruxError as err:
                log.warning("replication %s is due and cannot begin: %s", id_, err)
                await self._replications.could_not_begin(id_, err)
