"""The audit on its way into the journal: taken without waiting, written in batches, nothing lost while the agent lives
(but for what a journal that cannot be written for long leaves no room for: that is counted in the log)."""

import asyncio
import logging

from agent.journal import Journal
from horcrux.audit import AuditEntry
from horcrux.clock import Clock
from horcrux.errors import HorcruxError

log = logging.getLogger(__name__)

RETRY_S = 5.0
MAX_WAITING = 20_000


class AuditLog:
    """`record()` from anywhere on the loop; `run()` writes, until cancelled, and then what is left."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._waiting: list[AuditEntry] = []
        self._more = asyncio.Event()

    def record(self, entry: AuditEntry) -> None:
        """Takes the entry to be written; never blocks, never fails."""
        self._waiting.append(entry)
        self._more.set()

    async def run(self) -> None:
        while True:
            await self._more.wait()
            try:
                await self.flush()
            except HorcruxError as err:  # a full disk: kept, and tried again
                log.error("the audit cannot be written, %s entries wait: %s", len(self._waiting), err)
                await self._clock.sleep(RETRY_S)
                self._more.set()

    async def flush(self) -> None:
        """What was recorded before is durable; when it cannot be written it is kept, and the error raised."""
        self._more.clear()
        entries, self._waiting = self._waiting, []
        try:
            if entries:
                await self._journal.add_audit(entries)
        except HorcruxError:
            self._waiting = [*entries, *self._waiting]
            if (lost := len(self._waiting) - MAX_WAITING) > 0:
                log.error("%s entries of the audit are lost", lost)
                del self._waiting[:lost]
            raise
