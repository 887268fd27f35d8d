"""A task as the API and the event stream show it."""

from typing import Self

import msgspec

from horcrux.tasks import Task, TaskState


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """`error` is the sentence, `error_code` the stable word; times are epoch seconds."""

    id: str
    action: str
    target: str
    node: str
    state: TaskState
    progress: float
    stage: str
    error: str | None
    error_code: str | None
    error_details: dict[str, object] | None
    """What the error's body would have held beside code and sentence; only where one task is asked for."""
    warnings: tuple[str, ...]
    user: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    result: dict[str, object] | None
    """What the call would have answered; only where one task is asked for, null in lists and events."""

    @classmethod
    def of(cls, task: Task, *, with_result: bool = False) -> Self:
        return cls(
            id=task.id,
            action=task.action,
            target=task.target,
            node=task.node,
            state=task.state,
            progress=round(task.progress, 4),
            stage=task.stage,
            error=task.error.message if task.error else None,
            error_code=task.error.code if task.error else None,
            error_details=task.error.details if task.error and with_result else None,
            warnings=task.warnings,
            user=task.user,
            created_at=task.created_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            result=task.result if with_result else None,
        )
