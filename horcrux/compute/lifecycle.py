"""Which verb a VM admits in which state; the API's `allowed_actions` are told from the same table.

    stopped, crashed --start--> running --pause--> paused --resume--> running
                                running --reboot, reset--> running
                                running --shutdown--> stopping --(the guest does it)--> stopped
                running, paused, stopping --stop--> stopped
    stopped, crashed --delete--> deleting

`creating`, `deleting`, `reverting` and `unknown` admit nothing: a task, or a silent hypervisor, has the VM.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from horcrux.compute.vm import RunState
from horcrux.errors import Conflict


class Verb(StrEnum):
    START = "start"
    STOP = "stop"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"
    UPDATE = "update"
    CONSOLE = "console"
    CLONE = "clone"
    """Its disks are copied, or become a template's."""


_S, _V = RunState, Verb

_NEXT: Mapping[tuple[RunState, Verb], RunState] = MappingProxyType(
    {
        (_S.STOPPED, _V.START): _S.RUNNING,
        (_S.CRASHED, _V.START): _S.RUNNING,
        (_S.RUNNING, _V.START): _S.RUNNING,  # the contract's start is idempotent
        (_S.RUNNING, _V.STOP): _S.STOPPED,
        (_S.PAUSED, _V.STOP): _S.STOPPED,
        (_S.STOPPING, _V.STOP): _S.STOPPED,
        (_S.RUNNING, _V.SHUTDOWN): _S.STOPPING,
        (_S.STOPPING, _V.SHUTDOWN): _S.STOPPING,  # a guest may have missed the first one
        (_S.RUNNING, _V.REBOOT): _S.RUNNING,
        (_S.RUNNING, _V.RESET): _S.RUNNING,
        (_S.RUNNING, _V.PAUSE): _S.PAUSED,
        (_S.PAUSED, _V.RESUME): _S.RUNNING,
        (_S.STOPPED, _V.DELETE): _S.DELETING,
        (_S.CRASHED, _V.DELETE): _S.DELETING,
        (_S.STOPPED, _V.CLONE): _S.STOPPED,
        (_S.CRASHED, _V.CLONE): _S.CRASHED,
        (_S.STOPPED, _V.UPDATE): _S.STOPPED,
        (_S.RUNNING, _V.UPDATE): _S.RUNNING,
        (_S.PAUSED, _V.UPDATE): _S.PAUSED,
        (_S.STOPPING, _V.UPDATE): _S.STOPPING,
        (_S.CRASHED, _V.UPDATE): _S.CRASHED,
        (_S.RUNNING, _V.CONSOLE): _S.RUNNING,
        (_S.PAUSED, _V.CONSOLE): _S.PAUSED,
        (_S.STOPPING, _V.CONSOLE): _S.STOPPING,
    }
)

_IS: Mapping[RunState, str] = MappingProxyType(
    {
        _S.CREATING: "it is being created",
        _S.STOPPED: "it is stopped",
        _S.RUNNING: "it is running",
        _S.PAUSED: "it is paused",
        _S.STOPPING: "it is shutting down",
        _S.CRASHED: "it has crashed and does not run",
        _S.DELETING: "it is being deleted",
        _S.REVERTING: "it is being reverted to a snapshot",
        _S.UNKNOWN: "its state is unknown because the hypervisor does not answer",
    }
)

_ADVICE: Mapping[tuple[RunState, Verb], str] = MappingProxyType(
    {
        (_S.PAUSED, _V.START): "resume it instead",
        (_S.PAUSED, _V.SHUTDOWN): "resume it first, or stop it",
        (_S.PAUSED, _V.REBOOT): "resume it first",
        (_S.PAUSED, _V.RESET): "resume it first",
        (_S.STOPPING, _V.START): "wait until it is stopped",
        (_S.STOPPING, _V.DELETE): "wait until it is stopped, or stop it",
        (_S.RUNNING, _V.DELETE): "stop it first",
        (_S.PAUSED, _V.DELETE): "stop it first",
        (_S.RUNNING, _V.CLONE): "stop it first",
        (_S.PAUSED, _V.CLONE): "stop it first",
        (_S.STOPPING, _V.CLONE): "wait until it is stopped, or stop it",
        (_S.STOPPED, _V.CONSOLE): "start it first",
        (_S.CRASHED, _V.CONSOLE): "start it first",
    }
)


def admit(state: RunState, verb: Verb, what: str = "the VM") -> RunState:
    """State that `verb` leads to. Conflict, naming `what` (the VM's id), the state and the way out, when the table has no
    such edge. Starting what runs is admitted and leads nowhere new."""
    try:
        return _NEXT[state, verb]
    except KeyError:
        raise Conflict(f"cannot {verb} {what}: {_why_not(state, verb)}", state=str(state)) from None


def require(state: RunState, verb: Verb, what: str = "the VM") -> RunState:
    """As `admit`, but a verb that would change nothing is a Conflict too: what a driver asks."""
    after = admit(state, verb, what)
    if not _useful(state, verb):
        raise Conflict(f"cannot {verb} {what}: {_why_not(state, verb)}", state=str(state))
    return after


def allowed(state: RunState) -> Mapping[Verb, str]:
    """Every verb with the reason why it makes no sense now; the empty string where it does."""
    return {verb: "" if _useful(state, verb) else _why_not(state, verb) for verb in Verb}


def _useful(state: RunState, verb: Verb) -> bool:
    return (state, verb) in _NEXT and not (verb is Verb.START and _NEXT[state, verb] is state)


def _why_not(state: RunState, verb: Verb) -> str:
    advice = _ADVICE.get((state, verb))
    return f"{_IS[state]}; {advice}" if advice else _IS[state]
