"""Calls to a peer. Few and far between, so each has a connection of its own."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import msgspec

from agent.peers.route import error_of
from agent.peers.sockets import keep_honest
from agent.peers.trust import Trust
from horcrux.errors import HorcruxError, Unreachable
from horcrux.replication.peer import PeerDocument
from horcrux.replication.wire import PeerRefusal

CONNECT_S = 10
CALL_S = 60

T = TypeVar("T")


class PeerClient:
    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    async def call(
        self, peer: str, path: str, order: msgspec.Struct | None, type_: type[T], limit_s: float = CALL_S
    ) -> T:
        """The peer's answer. Unreachable, or what the peer raised."""
        method = "GET" if order is None else "POST"
        body = None if order is None else msgspec.json.encode(order)
        known = self._trust.find(peer)
        async with (
            self._session(known, limit_s) as session,
            _told(known),
            session.request(method, path, data=body) as answer,
        ):
            return await _read(answer, known, type_)

    async def stream(
        self, peer: str, path: str, query: msgspec.Struct, content: AsyncIterator[bytes], type_: type[T]
    ) -> T:
        """The answer to a body that is sent as it comes, no faster than the peer takes it. What `content` raises passes
        through; an answer that comes before the end of the body ends it."""
        known = self._trust.find(peer)
        sent = _Sent(content)
        asked = {name: _word(value) for name, value in msgspec.structs.asdict(query).items()}
        try:
            async with (
                self._session(known, None) as session,
                _told(known),
                session.put(path, params=asked, data=sent.pieces()) as answer,
            ):
                return await _read(answer, known, type_)
        except HorcruxError:
            if sent.error is not None:
                raise sent.error from None
            raise

    @asynccontextmanager
    async def _session(self, peer: PeerDocument, limit_s: float | None) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(
            ssl=self._trust.client_context(peer.name), force_close=True, socket_factory=_socket
        )
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=CONNECT_S)
        async with aiohttp.ClientSession(peer.url, connector=connector, timeout=timeout) as session:
            yield session


class _Sent:
    """What is sent, and the error that ended it when that was ours: aiohttp tells only that the body broke off."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self.error: HorcruxError | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._content:
                yield piece
        except HorcruxError as err:
            self.error = err
            raise ConnectionAbortedError(str(err)) from err


async def _read(answer: aiohttp.ClientResponse, peer: PeerDocument, type_: type[T]) -> T:
    raw = await answer.read()
    try:
        if answer.status >= 400:
            raise error_of(msgspec.json.decode(raw, type=PeerRefusal), peer.name)
        return msgspec.json.decode(raw or b"null", type=type_)
    except msgspec.MsgspecError as err:
        raise Unreachable(f"peer {peer.name} answered {answer.status} in words of another version: {err}") from err


@asynccontextmanager
async def _told(peer: PeerDocument) -> AsyncIterator[None]:
    """What stands in the way, as Unreachable."""
    where = f"peer {peer.name} ({peer.url})"
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as err:
        raise Unreachable(
            f"{where} shows another certificate than the one that is trusted; compare fingerprints"
        ) from err
    except (aiohttp.ClientError, OSError, TimeoutError) as err:
        raise Unreachable(f"{where}: {_reason(err)}", peer=peer.name) from err


def _reason(err: BaseException) -> str:
    causes: list[BaseException] = [err]
    while (cause := causes[-1].__cause__ or getattr(causes[-1], "os_error", None)) and cause not in causes:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "it shows another certificate than the one that is trusted; compare fingerprints"
        if isinstance(cause, ssl.SSLError) and "ALERT" in str(cause.reason):
            return "it refused this node's certificate; enter there what `horcrux peer show` prints here"
        if isinstance(cause, ConnectionResetError | aiohttp.ServerDisconnectedError):
            # The alert that tells of a refusal is lost when our request meets the closed connection.
            return "it closed the connection; if it always does, enter there what `horcrux peer show` prints here"
    if isinstance(err, TimeoutError):
        return "no answer in time"
    last = causes[-1]
    return (last.strerror if isinstance(last, OSError) and last.strerror else str(err)) or type(err).__name__


def _socket(address: tuple[Any, ...]) -> socket.socket:
    family, type_, protocol, _, _ = address
    made = socket.socket(family, type_, protocol)
    keep_honest(made)
    return made


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
