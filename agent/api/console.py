"""`/api/console`: tickets for the screen and the serial line of a VM, and the websockets they open."""

import re
from typing import Protocol

import msgspec
from aiohttp import web

from agent.console.service import ConsoleService
from agent.console.tickets import ConsoleKind, IssuedTicket
from agent.http.middleware.auth import SESSION_COOKIE
from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Route
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Principal
from horcrux.errors import Invalid
from horcrux.ids import VmId

_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,262}\Z")
_SOCKET_PATH = {ConsoleKind.VNC: "ws", ConsoleKind.SERIAL: "serial/ws"}


class ConsoleTicket(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is complete: it holds the ticket, which opens one websocket until `expires_at` (epoch seconds). `port` is that of
    this API, which consoles share."""

    ticket: str
    port: int
    expires_at: int
    url: str


class WebsocketAddress(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is complete: it holds the ticket."""

    url: str
    ticket: str


class TicketQuery(msgspec.Struct, frozen=True):
    """No ticket is answered as a wrong one is."""

    ticket: str = ""


class Identifier(Protocol):
    """The part of the server's gate that is used here (`agent.http.middleware.auth.Gate`)."""

    async def identify(self, raw: web.Request) -> Principal:
        """Whose credentials the request carries; Unauthenticated, Forbidden."""
        ...


class ConsoleApi:
    """`port` is the one that this API listens on."""

    def __init__(self, service: ConsoleService, gate: Identifier, port: int) -> None:
        self._service = service
        self._gate = gate
        self._port = port

    async def vnc_ticket(self, call: Call[Nothing, Nothing]) -> ConsoleTicket:
        return self._ticket(call, ConsoleKind.VNC)

    async def serial_ticket(self, call: Call[Nothing, Nothing]) -> ConsoleTicket:
        return self._ticket(call, ConsoleKind.SERIAL)

    async def websocket_address(self, call: Call[Nothing, Nothing]) -> WebsocketAddress:
        issued, url = self._issue(call, ConsoleKind.VNC)
        return WebsocketAddress(url=url, ticket=issued.secret)

    async def vnc_socket(self, call: Call[Nothing, TicketQuery]) -> web.StreamResponse:
        return await self._serve(call, ConsoleKind.VNC)

    async def serial_socket(self, call: Call[Nothing, TicketQuery]) -> web.StreamResponse:
        return await self._serve(call, ConsoleKind.SERIAL)

    def _ticket(self, call: Call[Nothing, Nothing], kind: ConsoleKind) -> ConsoleTicket:
        issued, url = self._issue(call, kind)
        return ConsoleTicket(ticket=issued.secret, port=self._port, expires_at=int(issued.expires_at), url=url)

    def _issue(self, call: Call[Nothing, Nothing], kind: ConsoleKind) -> tuple[IssuedTicket, str]:
        """A ticket and the address to show it at: on the host that the client called us by, since a certificate that it
        has accepted holds for that one alone."""
        host = call.raw.headers.get("Host", "")
        if not _HOST.match(host):
            raise Invalid("the Host header must name this server")
        vm_id = VmId(call.path["vm_id"])
        issued = self._service.open_ticket(call.principal, vm_id, kind)
        scheme = "wss" if call.raw.secure else "ws"
        return issued, f"{scheme}://{host}/api/console/{vm_id}/{_SOCKET_PATH[kind]}?ticket={issued.secret}"

    async def _serve(self, call: Call[Nothing, TicketQuery], kind: ConsoleKind) -> web.StreamResponse:
        raw = call.raw
        has_credentials = "Authorization" in raw.headers or SESSION_COOKIE in raw.cookies
        bearer = await self._gate.identify(raw) if has_credentials else None
        return await self._service.serve(raw, VmId(call.path["vm_id"]), kind, call.query.ticket, bearer)


def routes(service: ConsoleService, gate: Identifier, *, port: int) -> tuple[AnyRoute, ...]:
    """Two open rows among them: the ticket is what lets a websocket in."""
    api = ConsoleApi(service, gate, port)
    return (
        Route(
            "POST",
            "/api/console/{vm_id}/vnc",
            api.vnc_ticket,
            scope=Scope.VM_CONSOLE,
            summary="A one-use ticket for the screen of a running VM",
            response=ConsoleTicket,
            audit="console.vnc",
        ),
        Route(
            "POST",
            "/api/console/{vm_id}/serial",
            api.serial_ticket,
            scope=Scope.VM_CONSOLE,
            summary="A one-use ticket for the serial console of a running VM",
            response=ConsoleTicket,
            audit="console.serial",
        ),
        Route(
            "GET",
            "/api/console/{vm_id}/websocket",
            api.websocket_address,
            scope=Scope.VM_CONSOLE,
            summary="Address of the screen's websocket, with a one-use ticket",
            response=WebsocketAddress,
            audit="console.vnc",
        ),
        Route(
            "GET",
            "/api/console/{vm_id}/ws",
            api.vnc_socket,
            scope=OPEN,
            summary="The screen: a websocket of RFB bytes (RFC 6143)",
            query=TicketQuery,
            limit=Limit.NONE,
            websocket=True,
        ),
        Route(
            "GET",
            "/api/console/{vm_id}/serial/ws",
            api.serial_socket,
            scope=OPEN,
            summary="The serial console: a websocket of raw bytes both ways, beginning with the last 64 KiB",
            query=TicketQuery,
            limit=Limit.NONE,
            websocket=True,
        ),
    )
