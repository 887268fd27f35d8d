"""The newest changes in memory, and the watches that read them.

A watch owns nothing but its place: it reads from this history while its place is kept here, and from the store's own
log (`replay`) when it has fallen behind. So a slow watcher costs no memory and never holds up a writer.

    behind memory --replay--> in memory --since--> at the end --publish--> in memory
         `--log compacted--> Compacted
"""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from horcrux.errors import Invalid, Unavailable
from horcrux.store import Compacted, Event

Replay = Callable[[int], Awaitable[tuple[Sequence[Event], int]]]
"""From a revision: whole revisions of events, and the last revision they cover. Raises Compacted."""


class History:
    """Events of the revisions `first` to `revision`; bounded, the older half goes when it is full."""

    def __init__(self, revision: int, *, first: int, max_events: int, max_bytes: int) -> None:
        self.revision = revision
        self.first = first
        self.is_closed = False
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._bytes = 0
        self._events: list[Event] = []
        self._revisions: list[int] = []
        self._waiting: set[HistoryWatch] = set()

    def publish(self, events: Sequence[Event]) -> None:
        """The events of one revision, the next one, have become durable."""
        if not events:
            return
        self.revision = events[0].entry.mod
        for event in events:
            self._events.append(event)
            self._revisions.append(self.revision)
            self._bytes += len(event.entry.value)
        if len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self.forget_before(self._revisions[len(self._revisions) // 2])
        self._wake()

    def since(self, revision: int) -> list[Event]:
        return self._events[bisect_left(self._revisions, revision) :]

    def forget_before(self, revision: int) -> None:
        cut = bisect_left(self._revisions, revision)
        self._bytes -= sum(len(event.entry.value) for event in self._events[:cut])
        del self._events[:cut], self._revisions[:cut]
        self.first = max(self.first, revision)

    def close(self) -> None:
        """Every watch ends with Unavailable."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        for watch in self._waiting:
            watch.wake()

    async def changed(self, watch: "HistoryWatch") -> None:
        self._waiting.add(watch)
        try:
            await watch.woken()
        finally:
            self._waiting.discard(watch)


class HistoryWatch:
    """`horcrux.store.Watch`."""

    def __init__(self, history: History, prefix: str, from_revision: int, replay: Replay) -> None:
        if from_revision < 1:
            raise Invalid(f"revisions begin at 1; there is nothing to watch from {from_revision}")
        self._history = history
        self._prefix = prefix
        self._next = from_revision
        self._replay = replay
        self._ready: deque[Event] = deque()
        self._is_closed = False
        self._woken = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            await self._fill()
        return self._ready.popleft()

    async def aclose(self) -> None:
        """The iteration ends, also one that waits at this moment."""
        self._is_closed = True
        self._ready.clear()
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    async def woken(self) -> None:
        self._woken.clear()
        await self._woken.wait()

    async def _fill(self) -> None:
        """Events are ready, or the place has moved on, or something has changed."""
        history = self._history
        if history.is_closed:
            raise Unavailable("the store is closed")
        events: Sequence[Event] = ()
        if self._next > history.revision:
            await history.changed(self)
        elif self._next >= history.first:
            events, self._next = history.since(self._next), history.revision + 1
        else:
            events, covered = await self._replay(self._next)
            self._next = covered + 1
        if not self._is_closed:
            self._ready.extend(event for event in events if event.entry.key.startswith(self._prefix))


def compacted(revision: int, first: int) -> Compacted:
    return Compacted(f"changes before revision {first} are no longer kept, {revision} was asked for: list again")
