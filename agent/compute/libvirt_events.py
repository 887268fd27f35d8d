"""The way from what libvirt's event loop tells (`agent/host/libvirt_link.py`), on its thread, to the asyncio loop."""

import asyncio
import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import libvirt

_log = logging.getLogger(__name__)

LOST = None
"""What a listener is told when the connection has ended; otherwise it is told the name of a domain."""

_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG,
    libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)


class Listeners:
    """The asyncio queues that are told what happens. `attach`, `tell` and the callbacks run on libvirt's threads."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}
        """Replaced as a whole, only on the asyncio loop, so that no lock is needed to read it elsewhere."""

    @contextmanager
    def subscribe(self) -> Iterator[asyncio.Queue[str | None]]:
        """A queue of names and `LOST`, on the running loop."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._queues = {**self._queues, queue: asyncio.get_running_loop()}
        try:
            yield queue
        finally:
            self._queues = {other: loop for other, loop in self._queues.items() if other is not queue}

    def tell(self, item: str | None) -> None:
        """Every queue gets `item`. From any thread."""
        for queue, loop in self._queues.items():
            try:
                loop.call_soon_threadsafe(queue.put_nowait, item)
            except RuntimeError:  # its loop has closed, so nobody reads that queue any more
                _log.debug("an event came too late for its listener: %s", item)

    def attach(self, connection: libvirt.virConnect) -> Callable[[], None]:
        """What happens to any domain, and to the connection itself, is told from now on. Call the result before closing:
        each callback holds the connection, and with it a descriptor, also when it has broken."""

        def on_event(_connection: object, domain: libvirt.virDomain, *_details: object) -> None:
            self.tell(domain.name())

        def on_close(_connection: object, _reason: int, _opaque: object) -> None:
            self.tell(LOST)

        undo: list[Callable[[], object]] = []
        for event in _EVENTS:
            number = connection.domainEventRegisterAny(None, event, on_event, None)
            undo.append(functools.partial(connection.domainEventDeregisterAny, number))
        connection.registerCloseCallback(on_close, None)
        undo.append(connection.unregisterCloseCallback)

        def detach() -> None:
            for step in undo:
                try:
                    step()
                except libvirt.libvirtError as err:  # it broke: let go of on our side all the same
                    _log.debug("letting go of a broken connection to libvirt: %s", err)

        return detach
