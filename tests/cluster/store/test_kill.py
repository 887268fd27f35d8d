"""kill -9: what was acknowledged is there, and nothing is there in half."""

import asyncio
import random
import signal
import sys
from pathlib import Path

from cluster.store.sqlite import SqliteStore
from tests.support.clock import FakeClock
from tests.support.store import take
from tests.support.waiting import TIMEOUT_S

ROOT = Path(__file__).parents[3]
ROUNDS = 5


async def write_and_kill(path: Path, round_: int, after_lines: int) -> dict[str, int]:
    """Keys and revisions that the writer said were acknowledged before it was killed."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.store_writer", str(path), str(round_),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdout is not None
    lines: list[bytes] = []
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while len(lines) < after_lines:
                line = await writer.stdout.readline()
                assert line, "the writer ended by itself"
                lines.append(line)
    finally:
        writer.kill()
        rest = await writer.stdout.read()
        assert await writer.wait() == -signal.SIGKILL
    lines += rest.splitlines(keepends=True)
    said = (line.decode().split() for line in lines if line.endswith(b"\n"))
    return {key: int(revision) for key, revision in said}


async def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "store.db"
    acknowledged: dict[str, int] = {}
    for round_ in range(ROUNDS):
        acknowledged |= await write_and_kill(path, round_, chance.randint(50, 1500))
        store = await SqliteStore.open(path, FakeClock())
        entries, revision = await store.list("/hx/v1/w/")
        stored = {entry.key: entry.mod for entry in entries}
        assert acknowledged.items() <= stored.items()
        assert len(stored) == revision - 1
        counted = sum(int(entry.value) for entry in (await store.list("/hx/v1/counter/"))[0])
        assert counted == len(stored)
        first = max(2, revision - 500)
        events = await take(store.watch("/hx/v1/w/", first), revision - first + 1)
        assert [event.entry.mod for event in events] == list(range(first, revision + 1))
        await store.aclose()
    assert len(acknowledged) >= ROUNDS * 50
