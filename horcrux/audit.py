"""What was done, or refused, and by whom."""

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, done or refused. `user` is "" when nobody could be named, `status` the HTTP status that was answered."""

    at: float
    user: str
    action: str
    status: int
    target: str
    """The task's target (`vm/vm-100`) where there is one, else the path that was asked for."""
    address: str
    request_id: str
    details: str
    """Code and sentence of the error; "" when it was done."""
