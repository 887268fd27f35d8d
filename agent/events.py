"""The event bus: what changes is published once, and whoever listens gets it in order, or is told that it missed some.

Every event is kept in a ring, so that a listener who comes back with the id of its last event goes on where it was. An id
that is of another life of the agent, or older than the ring, gets one `reset` first: list again, then follow.
"""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from horcrux.auth.permission import Scope
from horcrux.clock import Clock
from horcrux.events import StreamEvent

RING_EVENTS = 50_000
RING_S = 600
QUEUE_EVENTS = 5_000
"""What one listener may be behind before it is told to list again."""
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


class Publisher(Protocol):
    """The part of the bus that services use (`EventBus` is the implementation)."""

    def publish(self, kind: str, id_: str, data: object | None, scope: Scope) -> None:
        """Tells all listeners that may `scope` that `kind` `id_` is now `data` (a Struct or JSON-ready; None: gone).
        Never blocks, never fails for a slow listener."""
        ...


class Listener:
    """One reader. `next()` gives events in order; after an overflow one `reset`, then what comes after."""

    def __init__(self) -> None:
        self._queue: deque[StreamEvent] = deque()
        self._more = asyncio.Event()
        self._overflown: StreamEvent | None = None
        self._closed = False

    def is_closed(self) -> bool:
        return self._closed

    def offer(self, event: StreamEvent) -> None:
        if len(self._queue) >= QUEUE_EVENTS:
            self._queue.clear()
            self._overflown = event
        else:
            self._queue.append(event)
        self._more.set()

    def close(self) -> None:
        """`next()` ends with None."""
        self._closed = True
        self._more.set()

    async def next(self, timeout_s: float) -> StreamEvent | None:
        """The next event; None after `timeout_s` without one, or when closed."""
        if not self._queue and self._overflown is None and not self._closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._more.wait()
            except TimeoutError:
                return None
        if self._closed:
            return None
        event: StreamEvent | None = None
        if self._overflown is not None:
            event, self._overflown = _reset(self._overflown), None
        elif self._queue:
            event = self._queue.popleft()
        if not self._queue and self._overflown is None:
            self._more.clear()
        return event


class EventBus:
    """In memory; `boot` names this life of the agent."""

    def __init__(self, boot: str, clock: Clock) -> None:
        self._boot = boot
        self._clock = clock
        self._sequence = 0
        self._ring: deque[StreamEvent] = deque(maxlen=RING_EVENTS)
        self._listeners: dict[Listener, Callable[[Scope], bool]] = {}

    def publish(self, kind: str, id_: str, data: object | None, scope: Scope) -> None:
        self._sequence += 1
        shown = None if data is None else msgspec.to_builtins(data)
        event = StreamEvent(self._boot, self._sequence, self._clock.now(), kind, id_, shown, scope.value)
        self._ring.append(event)
        while self._ring and self._ring[0].at < event.at - RING_S:
            self._ring.popleft()
        for listener, may in self._listeners.items():
            if may(scope):
                listener.offer(event)

    @contextmanager
    def listen(self, may: Callable[[Scope], bool], last_event_id: str | None) -> Iterator[Listener]:
        """A listener that gets what is published from now on, after what it missed since `last_event_id`."""
        listener = Listener()
        for event in self._missed(last_event_id):
            if event.kind == "reset" or may(Scope(event.scope)):
                listener.offer(event)
        self._listeners[listener] = may
        try:
            yield listener
        finally:
            del self._listeners[listener]

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def close_listeners(self) -> None:
        """Every listener ends: the agent stops."""
        for listener in list(self._listeners):
            listener.close()

    def _missed(self, last_event_id: str | None) -> list[StreamEvent]:
        if last_event_id is None:
            return []
        boot, _, number = last_event_id.partition(".")
        now = StreamEvent(self._boot, self._sequence, self._clock.now(), "reset", "", None, "")
        last = int(number) if _NUMBER.match(number) else None
        if boot != self._boot or last is None or last > self._sequence:
            return [now]
        oldest = self._ring[0].sequence if self._ring else self._sequence + 1
        if last + 1 < oldest:
            return [now]
        return [e for e in self._ring if e.sequence > last]


def _reset(at: StreamEvent) -> StreamEvent:
    return msgspec.structs.replace(at, kind="reset", id="", data=None, scope="")
