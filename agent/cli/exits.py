"""What goes wrong on the command line, and the exit code that scripts see."""

from collections.abc import Mapping
from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 6


_BY_CODE: Mapping[str, Exit] = {
    "invalid": Exit.USAGE,
    "invalid_fields": Exit.USAGE,
    "too_large": Exit.USAGE,
    "unprocessable": Exit.USAGE,
    "unauthenticated": Exit.DENIED,
    "forbidden": Exit.DENIED,
    "not_found": Exit.NOT_FOUND,
    "conflict": Exit.CONFLICT,
    "already_exists": Exit.CONFLICT,
    "busy": Exit.CONFLICT,
    "in_use": Exit.CONFLICT,
    "quota_exceeded": Exit.CONFLICT,
    "stale": Exit.CONFLICT,
    "unavailable": Exit.UNREACHABLE,
}
_BY_STATUS: Mapping[int, Exit] = {
    400: Exit.USAGE,
    401: Exit.DENIED,
    403: Exit.DENIED,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    412: Exit.CONFLICT,
    413: Exit.USAGE,
    422: Exit.USAGE,
}
_NEXT_STEP: Mapping[str, str] = {
    "unauthenticated": "sign in with `horcrux login`",
    "forbidden": "ask an administrator, or sign in as somebody who may: `horcrux login`",
    "stale": "somebody changed it meanwhile: look at it and try again",
    "busy": "follow that task with `horcrux task wait`, then try again",
    "rate_limited": "wait, or use a token of its own for this script",
    "unavailable": "try again in a moment",
}


class CliError(Exception):
    """One sentence, the next step, and how the program ends."""

    def __init__(self, message: str, exit_code: Exit = Exit.FAILED, next_step: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.next_step = next_step


def error_of(message: str, *, code: str = "", status: int = 0) -> CliError:
    """The error for what the agent said: by its stable code, else by the HTTP status."""
    exit_code = _BY_CODE.get(code) or _BY_STATUS.get(status, Exit.FAILED)
    return CliError(message, exit_code, _NEXT_STEP.get(code, ""))
