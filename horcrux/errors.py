"""Every error we raise, in one tree.

    HorcruxError                    500 internal
    +-- Invalid                     400 invalid             what was sent cannot be right
    |   +-- InvalidFields           400 invalid_fields      one entry a field
    +-- Unauthenticated             401 unauthenticated     no token, or none that holds
    +-- Forbidden                   403 forbidden           known, but not yours to do
    +-- NotFound                    404 not_found
    +-- Conflict                    409 conflict            the state of things forbids it
    |   +-- AlreadyExists           409 already_exists
    |   +-- Busy                    409 busy                another task holds it; names the task
    |   +-- InUse                   409 in_use              something depends on it; names what
    |   +-- QuotaExceeded           409 quota_exceeded      it would take more than a quota allows; has the numbers
    |   +-- Diverged                409 diverged            a replica is not what was sent to it; names the snapshot
    +-- Stale                       412 stale               If-Match names an older revision
    +-- TooLarge                    413 too_large
    +-- Unprocessable               422 unprocessable       an idempotency key used for another body
    +-- RateLimited                 429 rate_limited        carries retry_after_s
    +-- Canceled                    499 canceled            the task's owner asked it to stop
    +-- Interrupted                 500 interrupted         the agent died while this ran
    +-- Unreachable                 502 unreachable         a system behind us does not answer
    +-- HostLacks                   503 host_lacks          this host cannot do it; names the remedy
    +-- Unavailable                 503 unavailable         not now: starting, stopping, no quorum
    +-- NoSpace                     507 no_space

`code` is API and never changes; the text is for people: it carries the ids and the next step, never a secret.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec


class FieldProblem(msgspec.Struct, frozen=True):
    """One thing wrong with one field. `field` is a path such as `disks[0].size_gb`."""

    field: str
    message: str


class HorcruxError(Exception):
    """Root of all we raise; `code` is API, the text is not."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details = details
        """JSON-ready members a client may act on (ids, numbers); they are shown to whoever gets the error."""


class Invalid(HorcruxError):
    code = "invalid"


class InvalidFields(Invalid):
    """`problems` holds one entry a field, in the order of the fields."""

    code = "invalid_fields"

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(
            "; ".join(f"{p.field}: {p.message}" for p in problems),
            fields=[{"field": p.field, "message": p.message} for p in problems],
        )
        self.problems = tuple(problems)


def invalid_field(field: str, message: str) -> InvalidFields:
    """The error for one wrong field."""
    return InvalidFields([FieldProblem(field, message)])


class Unauthenticated(HorcruxError):
    code = "unauthenticated"


class Forbidden(HorcruxError):
    code = "forbidden"


class NotFound(HorcruxError):
    code = "not_found"


class Conflict(HorcruxError):
    code = "conflict"


class AlreadyExists(Conflict):
    code = "already_exists"


class Busy(Conflict):
    code = "busy"


class InUse(Conflict):
    code = "in_use"


class QuotaExceeded(Conflict):
    code = "quota_exceeded"


class Diverged(Conflict):
    code = "diverged"


class Stale(HorcruxError):
    """`details["current"]` is the document as it is now."""

    code = "stale"


class TooLarge(HorcruxError):
    code = "too_large"


class Unprocessable(HorcruxError):
    code = "unprocessable"


class RateLimited(HorcruxError):
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class Canceled(HorcruxError):
    code = "canceled"


class Interrupted(HorcruxError):
    code = "interrupted"


class Unreachable(HorcruxError):
    code = "unreachable"


class HostLacks(HorcruxError):
    code = "host_lacks"


class Unavailable(HorcruxError):
    code = "unavailable"


class NoSpace(HorcruxError):
    code = "no_space"


STATUS: Mapping[type[HorcruxError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    TooLarge: 413,
    Unprocessable: 422,
    RateLimited: 429,
    Canceled: 499,
    Unreachable: 502,
    HostLacks: 503,
    Unavailable: 503,
    NoSpace: 507,
}


def status_of(error: HorcruxError) -> int:
    """HTTP status of the nearest class in STATUS, else 500."""
    return next((STATUS[c] for c in type(error).__mro__ if c in STATUS), 500)
