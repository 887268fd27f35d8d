import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.audit import MAX_WAITING, RETRY_S, AuditLog
from agent.journal import Journal
from horcrux.audit import AuditEntry
from horcrux.errors import NoSpace
from tests.support.clock import FakeClock


class FullDisk(Journal):
    """A journal that cannot be written while `is_full`."""

    is_full = False

    async def add_audit(self, rows: Sequence[AuditEntry]) -> None:
        if self.is_full:
            raise NoSpace("the disk is full")
        await super().add_audit(rows)


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        at=float(number),
        user="ann",
        action="vm.start",
        status=200,
        target="vm/a",
        address="",
        request_id=str(number),
        details="",
    )


async def test_a_full_disk_delays_the_audit_and_loses_nothing(tmp_path: Path) -> None:
    journal, clock = await FullDisk.open(tmp_path / "journal.db"), FakeClock()
    audit = AuditLog(journal, clock)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(audit.run())
        journal.is_full = True
        audit.record(entry(1))
        while not clock.sleepers:
            await asyncio.sleep(0)
        audit.record(entry(2))
        journal.is_full = False
        clock.advance(RETRY_S)
        async with asyncio.timeout(5):
            while len(await journal.audit(9)) < 2:
                await asyncio.sleep(0)
        writing.cancel()
    assert [row.request_id for row in await journal.audit(9)] == ["2", "1"]
    await journal.aclose()


async def test_what_waits_for_a_full_disk_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    journal = await FullDisk.open(tmp_path / "journal.db")
    audit = AuditLog(journal, FakeClock())
    journal.is_full = True
    for number in range(MAX_WAITING + 3):
        audit.record(entry(number))
    with pytest.raises(NoSpace):
        await audit.flush()
    journal.is_full = False
    await audit.flush()
    rows = await journal.audit(MAX_WAITING + 9)
    assert (len(rows), rows[-1].request_id) == (MAX_WAITING, "3")
    await journal.aclose()
