"""Consoles as the API sees them: a ticket is asked for, shown once on a websocket, and a screen or a serial line follows."""

from aiohttp import web

from agent.console.closing import GOING_AWAY, SESSION_ENDED, CloseCode, Closing
from agent.console.proxy import VncRelay
from agent.console.serial import SerialHub
from agent.console.sockets import accept, close
from agent.console.tickets import ConsoleKind, IssuedTicket, TicketOffice, refused
from agent.console.viewers import Viewers
from agent.console.vm_states import VmStates
from horcrux.auth.principal import Ended, Principal
from horcrux.compute.lifecycle import Verb, admit
from horcrux.errors import Conflict
from horcrux.ids import VmId


class ConsoleService:
    def __init__(
        self, *, tickets: TicketOffice, viewers: Viewers, vnc: VncRelay, serial: SerialHub, states: VmStates
    ) -> None:
        self._tickets = tickets
        self._viewers = viewers
        self._vnc = vnc
        self._serial = serial
        self._states = states
        self._is_closing = False

    def open_ticket(self, principal: Principal, vm_id: VmId, kind: ConsoleKind) -> IssuedTicket:
        """A ticket for one console. NotFound, Conflict (not running; too many viewers), RateLimited (too many tickets)."""
        admit(self._states.state_of(vm_id), Verb.CONSOLE, vm_id)
        self._viewers.check_room(vm_id)
        return self._tickets.issue(vm_id, kind, principal)

    async def serve(
        self, request: web.Request, vm_id: VmId, kind: ConsoleKind, secret: str, bearer: Principal | None
    ) -> web.StreamResponse:
        """Serves one websocket to its end. `bearer` is whose credentials the request carries beside the ticket, if any: it
        must be the session that asked for the ticket. Unauthenticated for a ticket that does not hold; what is wrong after
        that is told by close code."""
        ticket = self._tickets.take(secret, vm_id, kind)
        if bearer is not None and bearer.token_id != ticket.principal.token_id:
            raise refused(f"shown by another session, of {bearer.user}", vm_id, kind, ticket)
        if self._is_closing:
            return await _turned_away(request, GOING_AWAY)
        try:
            self._viewers.check_room(vm_id)
        except Conflict as err:
            return await _turned_away(request, Closing(CloseCode.CROWDED, str(err)))
        with self._viewers.admit(ticket) as viewer:
            match kind:
                case ConsoleKind.VNC:
                    return await self._vnc.serve(request, viewer)
                case ConsoleKind.SERIAL:
                    return await self._serial.serve(request, viewer)

    def viewers(self, vm_id: VmId) -> int:
        """How many look at this VM's consoles now."""
        return self._viewers.count(vm_id)

    def close_for(self, ended: Ended) -> int:
        """After a logout or a change of rights: unused tickets are void and open consoles close (4001); how many of both."""
        return self._tickets.drop(ended) + self._viewers.end(ended, SESSION_ENDED)

    def forget_vm(self, vm_id: VmId) -> None:
        """After a VM was deleted: tickets for it do not open the next one of that name."""
        self._tickets.drop_vm(vm_id)

    def close(self) -> None:
        """All open consoles close (1001) and no more are opened. Before the server waits for its handlers to end."""
        self._is_closing = True
        self._viewers.end_all(GOING_AWAY)


async def _turned_away(request: web.Request, closing: Closing) -> web.StreamResponse:
    """A browser cannot read the status of a refused upgrade, so it gets a socket that closes at once and says why."""
    socket = await accept(request, max_message_bytes=1)
    await close(request, socket, closing)
    return socket
