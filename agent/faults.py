"""Where fault tests end the agent: `HORCRUX_FAIL_AT=<action>:<n>` kills the process at the n-th step of that action.

The engine calls the failpoint at every step of a task: before and after each recovery is recorded, at each stage, around the
commitment. So a test that raises n until the action comes through has tried them all.
"""

import os
import signal
from typing import Protocol

from horcrux.errors import Invalid


class Failpoint(Protocol):
    """Called at each step of a task, with the action; fault tests end the process here."""

    def __call__(self, action: str, /) -> None: ...


def never(_action: str) -> None:
    """The failpoint of every agent that is not under test."""


def failpoint(fail_at: str) -> Failpoint:
    """From `<action>:<n>` (n from 1); the empty string is `never`. Invalid otherwise."""
    if not fail_at:
        return never
    action, _, number = fail_at.partition(":")
    if not number.isdigit() or int(number) < 1:
        raise Invalid(f"fail_at: expected <action>:<n>, got {fail_at!r}")
    return _KillAt(action, int(number))


class _KillAt:
    def __init__(self, action: str, number: int) -> None:
        self._action = action
        self._left = number

    def __call__(self, action: str, /) -> None:
        if action == self._action:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
