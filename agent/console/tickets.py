"""One-use tickets: a browser cannot set `Authorization` on a websocket, so it shows one of these instead.

    issue() -> held (30 s, memory of this node) -> take() -> gone
                    '-> time over, session ended -> gone

A ticket is removed by the first try to use it, right or wrong: whoever guesses has one guess.
"""

import base64
import hashlib
import logging
from collections.abc import Callable
from enum import StrEnum

import msgspec

from horcrux.auth.principal import Ended, Principal
from horcrux.clock import Clock
from horcrux.errors import RateLimited, Unauthenticated
from horcrux.ids import Entropy, VmId

log = logging.getLogger(__name__)

LIFETIME_S = 30


class ConsoleKind(StrEnum):
    VNC = "vnc"
    SERIAL = "serial"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket is good for, and until when on the monotonic clock. It does not hold the secret."""

    vm_id: VmId
    kind: ConsoleKind
    principal: Principal
    """Who asked for it, by which session or API token."""
    deadline_s: float


class IssuedTicket(msgspec.Struct, frozen=True):
    """`secret` is shown once. `expires_at` is in epoch seconds."""

    secret: str
    expires_at: float

    def __repr__(self) -> str:
        return f"IssuedTicket(expires_at={self.expires_at})"


class TicketOffice:
    """Keeps tickets under the SHA-256 of their secret, so that neither the time a lookup takes nor a dump of the
    memory tells anything about a secret."""

    def __init__(self, clock: Clock, entropy: Entropy, *, per_user: int = 64) -> None:
        self._clock = clock
        self._entropy = entropy
        self._per_user = per_user
        self._held: dict[bytes, Ticket] = {}

    def issue(self, vm_id: VmId, kind: ConsoleKind, principal: Principal) -> IssuedTicket:
        """A new ticket; RateLimited when the user holds `per_user` unused ones."""
        now_s = self._clock.monotonic()
        self._held = {digest: held for digest, held in self._held.items() if held.deadline_s > now_s}
        if sum(held.principal.user == principal.user for held in self._held.values()) >= self._per_user:
            raise RateLimited(
                f"{principal.user} holds {self._per_user} unused console tickets; they lapse within {LIFETIME_S} s",
                retry_after_s=LIFETIME_S,
            )
        secret = base64.urlsafe_b64encode(self._entropy(32)).rstrip(b"=").decode()
        self._held[_digest(secret)] = Ticket(vm_id=vm_id, kind=kind, principal=principal, deadline_s=now_s + LIFETIME_S)
        return IssuedTicket(secret, self._clock.now() + LIFETIME_S)

    def take(self, secret: str, vm_id: VmId, kind: ConsoleKind) -> Ticket:
        """The ticket, which is gone from now on. Unauthenticated, always in the same words; the cause is logged."""
        ticket = self._held.pop(_digest(secret), None)
        if ticket is None:
            raise refused("unknown, used before or ended", vm_id, kind)
        if ticket.deadline_s <= self._clock.monotonic():
            raise refused("expired", vm_id, kind, ticket)
        if ticket.vm_id != vm_id:
            raise refused(f"issued for {ticket.vm_id}", vm_id, kind, ticket)
        if ticket.kind != kind:
            raise refused(f"issued for {ticket.kind}", vm_id, kind, ticket)
        return ticket

    def drop(self, ended: Ended) -> int:
        """No ticket of what has ended is good any more; how many there were."""
        return self._drop(lambda held: ended.concerns(held.principal))

    def drop_vm(self, vm_id: VmId) -> int:
        """No ticket for this VM is good any more; how many there were."""
        return self._drop(lambda held: held.vm_id == vm_id)

    def _drop(self, is_gone: Callable[[Ticket], bool]) -> int:
        gone = [digest for digest, held in self._held.items() if is_gone(held)]
        for digest in gone:
            del self._held[digest]
        return len(gone)


def refused(cause: str, vm_id: VmId, kind: ConsoleKind, ticket: Ticket | None = None) -> Unauthenticated:
    """The one error a refused ticket gives. What the client is told does not depend on the cause."""
    log.warning(
        "console ticket refused: vm=%s kind=%s user=%s cause=%s",
        vm_id,
        kind,
        ticket.principal.user if ticket else "-",
        cause,
    )
    return Unauthenticated("the console ticket does not hold; ask for a new one")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
