"""One connection to libvirt, made again when it breaks, and the threads that its blocking calls run on.

libvirt's own event loop runs on a thread beside them: it notices broken connections and daemons that hang. libvirt has one
event implementation a process, registered before the first connection. We take its default one: libvirtaio (the asyncio
implementation) binds the whole process to one asyncio loop and runs libvirt's socket work on it, where a slow daemon would
be felt by every request.
"""

import asyncio
import functools
import logging
import threading
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import libvirt

from agent.blocking import BlockingPool
from horcrux.errors import HorcruxError

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
"""A daemon that hangs is given up after interval x (count + 1) = 20 s, and calls that wait for it fail."""


Attach = Callable[[libvirt.virConnect], Callable[[], None]]
"""Called with each new connection, before anything else uses it; what it returns, before that connection is closed."""


class LibvirtLink:
    """`translate` makes an error of our tree from libvirt's, met while working on what is named."""

    def __init__(
        self,
        uri: str,
        translate: Callable[[libvirt.libvirtError, str], HorcruxError],
        *,
        name: str = "libvirt",
        threads: int = 1,
        attach: Attach | None = None,
    ) -> None:
        self._uri = uri
        self._translate = translate
        self.threads = threads
        self._attach = attach
        self._pool = BlockingPool(name, threads)
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._detach: Callable[[], None] | None = None

    async def call(
        self, what: str, fn: Callable[Concatenate[libvirt.virConnect, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Result of `fn(connection, …)` on one of our threads; connects first when need be. libvirt's errors come out as
        ours, naming `what`."""

        def work() -> T:
            try:
                return fn(self._connect(), *args, **kwargs)
            except libvirt.libvirtError as err:
                raise self._translate(err, what) from err

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
            with _STARTING:
                _event_thread()
            libvirt.registerErrorHandler(_silent, None)
            connection = libvirt.open(self._uri)
            connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
            self._detach = self._attach(connection) if self._attach else None
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


_STARTING = threading.Lock()
"""Two links may connect at the same time, and a cached function may then run twice."""


@functools.cache
def _event_thread() -> threading.Thread:
    """libvirt's event loop runs, from now to the end of the process."""
    libvirt.virEventRegisterDefaultImpl()
    thread = threading.Thread(target=_run_events, name="libvirt-events", daemon=True)
    thread.start()
    return thread


def _run_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as err:  # one round failed; the next one polls the same descriptors again
            _log.warning("libvirt's event loop: %s", err)


def _silent(_context: object, _error: object) -> None:
    """libvirt prints every error on stderr otherwise; ours are raised and logged where that is decided."""
