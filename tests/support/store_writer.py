"""A process that writes to a SqliteStore and says each key on its standard output once the write is acknowledged.

python -m tests.support.store_writer PATH ROUND
"""

import asyncio
import os
import sys
from pathlib import Path

from cluster.clock import SystemClock
from cluster.store.sqlite import SqliteStore
from horcrux.store import Compare, Get, Put

CALLERS = 8


async def write(path: Path, round_: str) -> None:
    store = await SqliteStore.open(path, SystemClock())

    async def caller(number: int) -> None:
        counter = f"/hx/v1/counter/{number}"
        (entry,) = (await store.txn([], [Get(counter)])).gets
        mod, n = (entry.mod, int(entry.value)) if entry else (0, 0)
        while True:
            key = f"/hx/v1/w/{round_}-{number}-{n}"
            n += 1
            result = await store.txn([Compare(counter, "mod", mod)], [Put(counter, b"%d" % n), Put(key, b"%d" % n)])
            assert result.succeeded
            mod = result.revision
            os.write(1, f"{key} {result.revision}\n".encode())

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2]))
