"""What the server needs from the rest of the agent, as small as it can be."""

from collections.abc import Awaitable, Mapping
from typing import Protocol

import msgspec

from agent.http.route import Limit
from horcrux.audit import AuditEntry
from horcrux.auth.principal import Principal
from horcrux.ids import TaskId
from horcrux.tasks import Task


class Authenticator(Protocol):
    """On the path of every request: an answer that needs no I/O is given at once, not as an awaitable."""

    def authenticate(self, token: str, now: float) -> Principal | Awaitable[Principal]:
        """Whose token it is; raises Unauthenticated. `now` is epoch seconds."""
        ...


class TaskWaiter(Protocol):
    async def wait(self, task_id: TaskId) -> Task:
        """The task once it is over; NotFound. Cancelling the wait leaves the task alone."""
        ...


class AuditSink(Protocol):
    def record(self, entry: AuditEntry) -> None:
        """Takes the entry to be written; never blocks, never fails."""
        ...


class Quota(msgspec.Struct, frozen=True):
    """How a window stands after the request was counted: what is left, and seconds until more is."""

    limit: int
    remaining: int
    reset_s: int


class RateLimiter(Protocol):
    def admit(self, limit: Limit, subject: str) -> Quota | None:
        """Counts one request of `subject` (a token's id, or an address). None when nothing is counted; raises RateLimited,
        and then nothing was counted."""
        ...

    def refused(self, limit: Limit, retry_after_s: int) -> Quota:
        """How the window stands for one who was refused."""
        ...


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What a repeat is answered with: the task whose outcome counts, or else the answer as it was sent."""

    task: Task | None = None
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes | None = b""
    """None: it was done, but its answer is not kept (it held a secret, or was too large)."""


class IdempotencyStore(Protocol):
    """Answers by (user, key), kept for 24 hours."""

    async def begin(self, key: str, principal: Principal, fingerprint: str) -> Remembered | None:
        """None when the caller is the first and goes on; what was remembered when it was done before.

        Raises Unprocessable when the key came with another request before, Conflict while the first still runs.
        """
        ...

    async def finish(self, key: str, principal: Principal, answer: Remembered) -> None:
        """Repeats get `answer` from now on."""
        ...

    async def forget(self, key: str, principal: Principal) -> None:
        """The first failed and changed nothing: the next one with this key goes on."""
        ...
