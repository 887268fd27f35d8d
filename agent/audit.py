"""The audit on its way into the journal: taken without waiting, written in batches, nothing lost while the agent lives."""

import asyncio

from agent.journal import Journal
from horcrux.audit import AuditEntry


class AuditLog:
    """`record()` from anywhere on the loop; `run()` writes, until cancelled, and then what is left."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[AuditEntry] = []
        self._more = asyncio.Event()

    def record(self, entry: AuditEntry) -> None:
        """Takes the entry to be written; never blocks, never fails."""
        self._waiting.append(entry)
        self._more.set()

    async def run(self) -> None:
        while True:
            await self._more.wait()
            await self.flush()

    async def flush(self) -> None:
        """What was recorded before is durable."""
        self._more.clear()
        entries, self._waiting = self._waiting, []
        if entries:
            await self._journal.add_audit(entries)
