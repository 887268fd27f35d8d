"""The peers' port: open as long as somebody is trusted, closed otherwise.

accepted -> handshake (in time, one of few at once) -> calls
                '-> refused: connection closed, told in the log once for each address and reason
"""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from typing import Protocol

from aiohttp import web

from agent.peers.sockets import keep_honest
from agent.peers.trust import Trust
from horcrux.clock import Clock

log = logging.getLogger("horcrux.peers")

HANDSHAKE_S = 10
HANDSHAKES = 64
"""At one time; more wait in the backlog."""
RETRY_S = 15
STOP_S = 2
MOST_TOLD = 1000


class Changes(Protocol):
    async def wait_changed(self) -> None:
        """Returns when the set of trusted peers may differ from what it was at the last return."""
        ...


class PeerListener:
    def __init__(
        self, app: web.Application, trust: Trust, changes: Changes, clock: Clock, *, host: str, port: int
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOP_S)
        self._trust = trust
        self._changes = changes
        self._clock = clock
        self._host = host
        self._port = port
        self._sockets: list[socket.socket] = []
        self._room = asyncio.Semaphore(HANDSHAKES)
        self._told: set[tuple[str, str]] = set()

    @property
    def is_listening(self) -> bool:
        return bool(self._sockets)

    @property
    def port(self) -> int:
        """The one that is listened on; the wanted one while it is not."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else self._port

    async def follow(self) -> None:
        """Listens whenever somebody is trusted, until cancelled."""
        await self._runner.setup()
        try:
            while True:
                if self._trust.is_empty():
                    await self._changes.wait_changed()
                else:
                    await self._listen()
        finally:
            await self._runner.cleanup()

    async def _listen(self) -> None:
        """Until nobody is trusted any more, or the address cannot be had for now."""
        try:
            self._sockets = await _bound(self._host, self._port)
        except OSError as err:
            words = "the peers' port %s:%d cannot be had: %s; tried again every %d s"
            log.warning(words, self._host, self._port, err.strerror or err, RETRY_S)
            await self._clock.sleep(RETRY_S)
            return
        log.info("peers are listened for on %s:%d", self._host, self.port)
        try:
            async with asyncio.TaskGroup() as group:
                accepting = [group.create_task(self._accept(each, group)) for each in self._sockets]
                while not self._trust.is_empty():
                    await self._changes.wait_changed()
                for task in accepting:
                    task.cancel()
        finally:
            for each in self._sockets:
                each.close()
            self._sockets = []

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as err:  # out of descriptors: goes by
                self._room.release()
                log.warning("a peer's connection could not be taken: %s", err)
                await self._clock.sleep(1)
                continue
            except asyncio.CancelledError:
                self._room.release()
                raise
            group.create_task(self._admit(connection, str(address[0])))

    async def _admit(self, connection: socket.socket, address: str) -> None:
        server = self._runner.server
        try:
            if server is None:
                raise ConnectionAbortedError("the agent stops")
            keep_honest(connection)
            await asyncio.get_running_loop().connect_accepted_socket(
                server, connection, ssl=self._trust.server_context(), ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, TimeoutError) as err:
            with suppress(OSError):
                connection.close()
            self._tell(address, _reason(err))
        finally:
            self._room.release()

    def _tell(self, address: str, reason: str) -> None:
        if (address, reason) not in self._told and len(self._told) < MOST_TOLD:
            self._told.add((address, reason))
            log.warning("a connection from %s to the peers' port was refused: %s", address, reason)


def _reason(err: Exception) -> str:
    match err:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted here ({err.verify_message})"
        case ssl.SSLError():
            return str(err.reason or "no TLS").lower().replace("_", " ")
        case _:
            return str(err) or "no handshake in time"


async def _bound(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of `host`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            each = socket.create_server(address[:2], family=family, backlog=64)
            each.setblocking(False)
            made.append(each)
    except BaseException:
        for each in made:
            each.close()
        raise
    return made
