"""Why a console ends, told to the browser as the websocket's close code (RFC 6455 section 7.4; 4000 and up are ours)."""

from enum import IntEnum

import msgspec


class CloseCode(IntEnum):
    DONE = 1000
    GOING_AWAY = 1001
    """The agent stops."""
    UNSUPPORTED = 1003
    """Text where only bytes belong."""
    VM_STOPPED = 4000
    SESSION_ENDED = 4001
    """Logged out, or no longer allowed."""
    LOST = 4002
    """The way to a VM that still runs broke; opening the console anew helps."""
    TOO_SLOW = 4003
    """The viewer took less than the guest wrote."""
    CROWDED = 4004
    """The VM has as many viewers as it may have."""


class Closing(msgspec.Struct, frozen=True):
    """`reason` is a sentence for people, at most 123 bytes on the wire."""

    code: CloseCode
    reason: str


GOING_AWAY = Closing(CloseCode.GOING_AWAY, "the agent is stopping")
SESSION_ENDED = Closing(CloseCode.SESSION_ENDED, "the session has ended")
VM_STOPPED = Closing(CloseCode.VM_STOPPED, "the VM has stopped")
LOST = Closing(CloseCode.LOST, "the console was lost; open it again")
TOO_SLOW = Closing(CloseCode.TOO_SLOW, "the guest wrote faster than this viewer read")
LEFT = Closing(CloseCode.DONE, "")
"""The viewer went by itself."""
BYTES_ONLY = Closing(CloseCode.UNSUPPORTED, "this console takes binary messages only")
