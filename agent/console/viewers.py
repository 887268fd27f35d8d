"""Who looks at which console now: counted for each VM, and ended together with the session that opened it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from agent.console.closing import SESSION_ENDED, Closing
from agent.console.sockets import first_end
from agent.console.tickets import Ticket
from horcrux.auth.principal import Ended
from horcrux.clock import Clock
from horcrux.errors import Conflict
from horcrux.ids import VmId


class Viewer:
    """One open console. `end()` may be called from anywhere on the loop; the first reason stands."""

    def __init__(self, ticket: Ticket, clock: Clock) -> None:
        self.ticket = ticket
        self._clock = clock
        self._ended = asyncio.Event()
        self._closing: Closing | None = None

    def end(self, closing: Closing) -> None:
        if self._closing is None:
            self._closing = closing
            self._ended.set()

    async def ended(self) -> Closing:
        """Returns once somebody has ended this viewer or its session has run out, with the reason."""
        return await first_end(self._told(), self._run_out())

    async def _told(self) -> Closing:
        while self._closing is None:
            await self._ended.wait()
        return self._closing

    async def _run_out(self) -> Closing:
        ends_at = self.ticket.principal.expires_at
        if ends_at is None:
            return await self._told()
        while (left_s := ends_at - self._clock.now()) > 0:
            await self._clock.sleep(left_s)
        return SESSION_ENDED


class Viewers:
    """All open consoles of this node, at most `per_vm` for each VM (both kinds together)."""

    def __init__(self, clock: Clock, *, per_vm: int = 16) -> None:
        self._clock = clock
        self._per_vm = per_vm
        self._open: set[Viewer] = set()

    def count(self, vm_id: VmId) -> int:
        return sum(viewer.ticket.vm_id == vm_id for viewer in self._open)

    def check_room(self, vm_id: VmId) -> None:
        """Conflict when the VM has as many viewers as it may have."""
        if self.count(vm_id) >= self._per_vm:
            raise Conflict(f"{vm_id} has {self._per_vm} console viewers, which is the limit; close one of them")

    @contextmanager
    def admit(self, ticket: Ticket) -> Iterator[Viewer]:
        """Counts one more viewer while the block runs; Conflict when there is no room."""
        self.check_room(ticket.vm_id)
        viewer = Viewer(ticket, self._clock)
        self._open.add(viewer)
        try:
            yield viewer
        finally:
            self._open.discard(viewer)

    def end(self, ended: Ended, closing: Closing) -> int:
        """Ends the viewers of what has ended; how many."""
        found = [viewer for viewer in self._open if ended.concerns(viewer.ticket.principal)]
        for viewer in found:
            viewer.end(closing)
        return len(found)

    def end_all(self, closing: Closing) -> None:
        for viewer in tuple(self._open):
            viewer.end(closing)
