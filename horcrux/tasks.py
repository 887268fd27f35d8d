"""Tasks: everything that changes something runs as one, and is told as one.

    queued --> running --> completed
       |          |------> failed       (an error, or `interrupted`: the agent died while it ran)
       '----------'------> cancelled

A task is a row of the node's journal, its log lines another table. What it would have to undo is recorded before each
act as a `Recovery`, so that the next life of the agent can do it (`agent/tasks.py`).
"""

from enum import StrEnum

import msgspec

from horcrux.ids import TaskId, UserName


class TaskState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED}


class TaskError(msgspec.Struct, frozen=True):
    """Why a task failed: the error's code, its sentence for people, and the members that a client may act on."""

    code: str
    message: str
    details: dict[str, object] = {}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Times are epoch seconds; `progress` runs from 0 to 1 and never back."""

    id: TaskId
    action: str
    """`<noun>.<verb>`, as in the audit: `vm.start`, `image.fetch`."""
    target: str
    """`<noun>/<id>` of what it works on: `vm/vm-100`, `storage/local/images/debian.qcow2`."""
    node: str
    user: UserName
    locks: tuple[str, ...] = ()
    """Names of what it holds while it runs, and needs again when it is undone later."""
    state: TaskState = TaskState.QUEUED
    stage: str = ""
    """What it does right now, in a few words: `copying disk0`."""
    progress: float = 0.0
    error: TaskError | None = None
    warnings: tuple[str, ...] = ()
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    request_id: str = ""
    result: dict[str, object] | None = None
    """What the caller of a completed task would have got as the answer's body."""


class LogLine(msgspec.Struct, frozen=True):
    at: float
    text: str


class Recovery(msgspec.Struct, frozen=True):
    """A step the next life of the agent takes when this task was cut off. `kind` names a registered idempotent function."""

    kind: str
    args: dict[str, str]


def as_result(view: msgspec.Struct) -> dict[str, object]:
    """The view as the result of a task holds it: what its JSON holds."""
    shown: dict[str, object] = msgspec.to_builtins(view)
    return shown
