"""What the event stream carries (`GET /api/events`).

`kind` is one of: `vm`, `task`, `pool`, `volume`, `image`, `user`, `token`, `node` for "this object is now so" with the object
as the API shows it in `data` (None: it is gone), and `reset` when the client has to list again.
"""

import msgspec


class StreamEvent(msgspec.Struct, frozen=True):
    """`sequence` grows by one for each event of one agent life; the id on the wire is `<boot>.<sequence>`."""

    boot: str
    sequence: int
    at: float
    kind: str
    id: str
    data: dict[str, object] | None
    scope: str
    """The scope a listener needs to be shown this event (`vm.read`)."""

    @property
    def event_id(self) -> str:
        return f"{self.boot}.{self.sequence}"
