"""The task calls."""

from collections.abc import Sequence

import msgspec

from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from agent.journal import TaskFilter
from agent.task_view import TaskView
from agent.tasks import TaskEngine
from horcrux.auth.permission import Scope
from horcrux.ids import TaskId
from horcrux.paging import Page, PageLimit, page_of
from horcrux.tasks import TaskState

DEFAULT_LIMIT = 100


class TaskQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first; `after` is the id of the last task of the page before. `fields`: only these, with commas between."""

    limit: PageLimit = DEFAULT_LIMIT
    after: str | None = None
    fields: str | None = None
    state: TaskState | None = None
    target: str | None = None
    user: str | None = None


class TaskLogLine(msgspec.Struct, frozen=True, kw_only=True):
    at: float
    text: str


class TaskApi:
    def __init__(self, tasks: TaskEngine) -> None:
        self._tasks = tasks

    async def list(self, call: Call[Nothing, TaskQuery]) -> Reply:
        query = call.query
        wanted = TaskFilter(state=query.state, target=query.target, user=query.user)
        views = [TaskView.of(task) for task in await self._tasks.recent(wanted, query.limit, query.after)]
        return Reply(body=page_of(views, Page(fields=query.fields), lambda view: view.id))

    async def get(self, call: Call[Nothing, Nothing]) -> TaskView:
        return TaskView.of(await self._tasks.get(TaskId(call.path["id"])), with_result=True)

    async def log(self, call: Call[Nothing, Nothing]) -> "Sequence[TaskLogLine]":
        lines = await self._tasks.log_of(TaskId(call.path["id"]))
        return [TaskLogLine(at=line.at, text=line.text) for line in lines]

    async def cancel(self, call: Call[Nothing, Nothing]) -> Reply:
        task = await self._tasks.cancel(TaskId(call.path["id"]), call.principal.user)
        return Reply(body=TaskView.of(task))

    def routes(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "GET",
                "/api/tasks",
                self.list,
                scope=Scope.TASK_READ,
                summary="List tasks, newest first",
                query=TaskQuery,
                response=list[TaskView],
            ),
            Route("GET", "/api/tasks/{id}", self.get, scope=Scope.TASK_READ, summary="Show a task", response=TaskView),
            Route(
                "GET",
                "/api/tasks/{id}/log",
                self.log,
                scope=Scope.TASK_READ,
                summary="Log lines of a task",
                response=list[TaskLogLine],
            ),
            Route(
                "DELETE",
                "/api/tasks/{id}",
                self.cancel,
                scope=Scope.TASK_CANCEL,
                summary="Cancel a task",
                description="It stops at its next step and undoes what it did; look at it again to see when it is over.",
                response=TaskView,
                status=202,
                audit="task.cancel",
            ),
        )
