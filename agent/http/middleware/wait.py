"""Calls that are tasks: the answer waits for the task's end, unless the client asked for 202 (RFC 7240)."""

import asyncio
import re
from collections.abc import Mapping

import msgspec
from aiohttp import web

from agent.http.dialects import Problem
from agent.http.ports import TaskWaiter
from agent.http.route import AnyRoute
from agent.task_view import TaskView
from horcrux.errors import STATUS, Canceled, FieldProblem, HorcruxError, Unavailable
from horcrux.ids import TaskId
from horcrux.tasks import Task, TaskState

_ASYNC = re.compile(r"(?:^|[,;])\s*respond-async\s*(?:$|[,;])", re.IGNORECASE)
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?:$|[,;])", re.IGNORECASE)


class TaskFailed(HorcruxError):
    """Carries the problem of a task that ended badly; its status is that of the error inside the task."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Waiting:
    """Waits for tasks on behalf of requests, until the server stops."""

    def __init__(self, tasks: TaskWaiter) -> None:
        self._tasks = tasks
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Whoever waits is told to ask again later; the tasks go on."""
        self._stopping.set()

    async def finished(self, task_id: TaskId, within_s: float | None = None) -> Task | None:
        """The task once it is over, None when it is not within the time. Raises Unavailable when the server stops first."""
        waiting = asyncio.ensure_future(self._tasks.wait(task_id))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
            if stopping.done():
                raise Unavailable(
                    f"the agent is stopping while task {task_id} runs; ask for the task later", task=task_id
                )
            return None
        finally:
            waiting.cancel()
            stopping.cancel()


def preference_of(raw: web.Request) -> float | None:
    """How many seconds the client wants to wait: None for as long as it takes, 0 for not at all."""
    prefer = raw.headers.get("Prefer")
    if prefer is None or not _ASYNC.search(prefer):
        return None
    wait = _WAIT.search(prefer)
    return float(wait[1]) if wait else 0.0


def accepted(task: Task) -> web.Response:
    """202, with where to look."""
    headers: dict[str, str] = {
        "Content-Type": "application/json",
        "Location": f"/api/tasks/{task.id}",
        "Preference-Applied": "respond-async",
        "X-Horcrux-Task": task.id,
    }
    return web.Response(status=202, body=msgspec.json.encode(TaskView.of(task)), headers=headers)


def outcome(route: AnyRoute, task: Task) -> web.Response:
    """The answer of a task that is over: its result, or raises TaskFailed."""
    if task.state is not TaskState.COMPLETED:
        raise TaskFailed(_problem(task))
    headers: dict[str, str] = {"X-Horcrux-Task": task.id}
    if task.result is None or route.status == 204:
        return web.Response(status=route.status, headers=headers)
    revision = task.result.get("revision")
    if isinstance(revision, int):
        headers["ETag"] = f'"{revision}"'
    headers["Content-Type"] = "application/json"
    return web.Response(status=route.status, body=msgspec.json.encode(task.result), headers=headers)


def _problem(task: Task) -> Problem:
    if task.error is None:
        code, message = Canceled.code, f"task {task.id} was cancelled"
    else:
        code, message = task.error.code, task.error.message
    details = {"task": task.id, **(task.error.details if task.error else {})}  # Busy names the task in the way
    return Problem(
        status=_status_of_code(code), code=code, message=message, details=details, fields=_fields_of(details)
    )


def _fields_of(details: Mapping[str, object]) -> tuple[FieldProblem, ...]:
    """The wrong fields, which an InvalidFields told under `fields`."""
    return msgspec.convert(details.get("fields", ()), tuple[FieldProblem, ...])


def _status_of_code(code: str) -> int:
    """The status that the error of this code has: a task keeps the code only."""
    for kind in _all_kinds(HorcruxError):
        if kind.code == code:
            return next((STATUS[c] for c in kind.__mro__ if c in STATUS), 500)
    return 500


def _all_kinds(kind: type[HorcruxError]) -> list[type[HorcruxError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in _all_kinds(below))]


def told(error: TaskFailed, request_id: str, at: float) -> Problem:
    """The task's problem as an answer to this request."""
    return msgspec.structs.replace(error.problem, request_id=request_id, at=at)
