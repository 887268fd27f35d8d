"""The peers' own small table of calls, and how an answer is made of what a handler returns or raises.

No tokens: who calls is known by the certificate of the connection. Bodies are JSON in and out, but for streams.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from agent.peers.trust import Trust
from horcrux.errors import Forbidden, HorcruxError, Interrupted, Invalid, NotFound, TooLarge, status_of
from horcrux.replication.peer import PeerDocument
from horcrux.replication.wire import PeerRefusal

log = logging.getLogger("horcrux.peers")

READ_BYTES = 256 * 1024
MAX_BODY_BYTES = 8_000_000
"""A list of all snapshots of a VM's volumes has to fit."""
BODY_LIMIT_S = 30

Q = TypeVar("Q", bound=msgspec.Struct)


class PeerCall(Generic[Q]):
    """One call. `peer` is whom the connection belongs to, still trusted when the call began."""

    def __init__(self, peer: PeerDocument, order: Q, raw: web.Request) -> None:
        self.peer = peer
        self.order = order
        self._raw = raw

    async def content(self) -> AsyncIterator[bytes]:
        """The body of a stream as it comes; Interrupted when the connection goes before its end."""
        try:
            while chunk := await self._raw.content.read(READ_BYTES):
                yield chunk
        except (
            aiohttp.ClientError,
            aiohttp.http_exceptions.HttpProcessingError,
            ConnectionError,
            TimeoutError,
            web.RequestPayloadError,
        ) as err:
            raise Interrupted(f"the stream from peer {self.peer.name} was cut off: {err}") from err


class PeerRoute(msgspec.Struct, frozen=True, kw_only=True):
    """`order` is the type of the body, or, with `is_stream`, of the query."""

    method: str
    path: str
    handler: Callable[[PeerCall[Any]], Awaitable[msgspec.Struct | Sequence[msgspec.Struct] | None]]
    order: type[msgspec.Struct] | None = None
    is_stream: bool = False


def peer_app(routes: Sequence[PeerRoute], trust: Trust, met: Callable[[PeerDocument], None]) -> web.Application:
    """The application of the peers' port; `met` is told of every call that was let in."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    for route in routes:
        app.router.add_route(route.method, route.path, _Endpoint(route, trust, met).handle)
    return app


class _Endpoint:
    def __init__(self, route: PeerRoute, trust: Trust, met: Callable[[PeerDocument], None]) -> None:
        self._route = route
        self._trust = trust
        self._met = met

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        try:
            peer = self._who(raw)
            self._met(peer)
            result = await self._route.handler(PeerCall(peer, await self._order(raw), raw))
        except HorcruxError as err:
            return _refusal(raw, status_of(err), PeerRefusal(error=str(err), code=err.code, details=_plain(err)))
        except Exception:  # the edge: whatever was raised becomes an answer
            log.exception("%s %s of a peer failed by a fault of ours", raw.method, raw.path)
            words = "internal fault of the peer; its agent's log has the details"
            return _refusal(raw, 500, PeerRefusal(error=words, code="internal"))
        if result is None:
            return web.Response(status=204)
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")

    def _who(self, raw: web.Request) -> PeerDocument:
        """Asked at each call: trust that was taken away ends open connections too."""
        tls = raw.transport.get_extra_info("ssl_object") if raw.transport else None
        shown = tls.getpeercert(binary_form=True) if tls else None
        peer = self._trust.peer_of(shown) if shown else None
        if peer is None:
            raise Forbidden("this node is not trusted here any more")
        return peer

    async def _order(self, raw: web.Request) -> msgspec.Struct | None:
        type_ = self._route.order
        if type_ is None:
            return None
        try:
            if self._route.is_stream:
                return msgspec.convert(dict(raw.query), type_, strict=False)
            async with asyncio.timeout(BODY_LIMIT_S):
                return msgspec.json.decode(await raw.read(), type=type_)
        except web.HTTPRequestEntityTooLarge as err:
            raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes") from err
        except (msgspec.MsgspecError, UnicodeDecodeError, TimeoutError) as err:
            raise Invalid(f"the peer speaks another version of this call: {err}") from err


def _plain(err: HorcruxError) -> dict[str, object]:
    details: dict[str, object] = msgspec.to_builtins(err.details)
    return details


def _refusal(raw: web.Request, status: int, refusal: PeerRefusal) -> web.Response:
    response = web.Response(status=status, body=msgspec.json.encode(refusal), content_type="application/json")
    if not raw.content.is_eof():
        response.force_close()  # nobody reads the rest of the stream
    return response


def error_of(refusal: PeerRefusal, peer: str) -> HorcruxError:
    """What the peer raised, told as its words."""
    kinds = {kind.code: kind for kind in _plain_kinds(HorcruxError)}
    kind = kinds.get(refusal.code, NotFound if refusal.code == "not_found" else HorcruxError)
    return kind(f"peer {peer}: {refusal.error}", **refusal.details)


def _plain_kinds(kind: type[HorcruxError]) -> list[type[HorcruxError]]:
    """The error and all below it that are made of a sentence alone."""
    below = [each for child in kind.__subclasses__() for each in _plain_kinds(child)]
    return [*below, kind] if kind.__init__ is HorcruxError.__init__ else below
