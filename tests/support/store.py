"""Small words for tests of the Store."""

import asyncio

from horcrux.store import Event, Put, Store, Watch
from tests.support.waiting import TIMEOUT_S


async def put(store: Store, key: str, value: bytes = b"{}", lease: int = 0) -> int:
    """The revision of the write."""
    return (await store.txn([], [Put(key, value, lease)])).revision


async def revision_of(store: Store) -> int:
    return (await store.list("/nothing/is/here/"))[1]


async def take(watch: Watch, count: int) -> list[Event]:
    async with asyncio.timeout(TIMEOUT_S):
        return [await anext(watch) for _ in range(count)]


def told(events: list[Event]) -> list[tuple[str, str, bytes]]:
    return [(event.kind, event.entry.key, event.entry.value) for event in events]
