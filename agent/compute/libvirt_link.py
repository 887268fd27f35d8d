"""One connection to libvirt, made again when it breaks, and the threads that its blocking calls run on."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import libvirt

from agent.blocking import BlockingPool
from agent.compute.libvirt_errors import from_libvirt
from agent.compute.libvirt_events import Listeners, start_event_thread

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
"""A daemon that hangs is given up after interval x (count + 1) = 20 s, and calls that wait for it fail."""


class LibvirtLink:
    """`listeners` hear what happens while the link is up, and that it went down."""

    def __init__(self, uri: str, threads: int = 4) -> None:
        self._uri = uri
        self.threads = threads
        self._pool = BlockingPool("libvirt", threads)
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._detach: Callable[[], None] | None = None
        self.listeners = Listeners()

    async def call(
        self, what: str, fn: Callable[Concatenate[libvirt.virConnect, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Result of `fn(connection, …)` on one of our threads; connects first when need be. libvirt's errors come out as
        ours, naming `what`; Unreachable when libvirt does not answer."""

        def work() -> T:
            try:
                return fn(self._connect(), *args, **kwargs)
            except libvirt.libvirtError as err:
                raise from_libvirt(err, what) from err

        return await self._pool.run(work)

    async def close(self) -> None:
        """The connection is closed; calls under way have ended."""
        await self._pool.run(self._disconnect)
        await asyncio.to_thread(self._pool.close)

    def _connect(self) -> libvirt.virConnect:
        with self._lock:
            if self._connection is not None and self._connection.isAlive():
                return self._connection
            self._drop()
            start_event_thread()
            libvirt.registerErrorHandler(_silent, None)
            connection = libvirt.open(self._uri)
            connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
            self._detach = self.listeners.attach(connection)
            self._connection = connection
            _log.info("connected to libvirt at %s", self._uri)
            return connection

    def _disconnect(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        if self._detach is not None:
            self._detach()
        try:
            connection.close()
        except libvirt.libvirtError as err:  # it broke before we closed it: closed all the same
            _log.debug("closing a broken connection to libvirt: %s", err)


def _silent(_context: object, _error: object) -> None:
    """libvirt prints every error on stderr otherwise; ours are raised and logged where that is decided."""
