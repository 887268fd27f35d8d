"""`horcrux task`: what the agent does and did."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.follow import follow_task, result_of
from agent.cli.output import Format, field, local_time, moment

app = noun("What the agent does, and did.")
TaskId = Annotated[str, typer.Argument(metavar="TASK", autocompletion=complete_ids("tasks"))]


def _percent(row: Document) -> str:
    progress = row.get("progress")
    return f"{progress * 100:.0f}%" if isinstance(progress, int | float) else "-"


@command(app, "list", alias="ls")
def list_tasks(
    cli: Cli,
    state: Annotated[str | None, typer.Option(help="queued, running, completed, failed or cancelled")] = None,
    target: Annotated[str | None, typer.Option(help="Of one object: vm/vm-100")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List tasks, newest first."""
    query = {"limit": str(limit)} | ({"state": state} if state else {}) | ({"target": target} if target else {})
    columns = [field("id", "id"), field("state", "state"), ("done", _percent), field("action", "action")]
    columns += [
        field("target", "target"),
        field("user", "user"),
        moment("started", "started_at"),
        field("error", "error"),
    ]
    cli.rows(cli.client().get(path_of("tasks"), query).rows, columns)


@command(app, "show")
def show_task(cli: Cli, task: TaskId) -> None:
    """Show a task."""
    cli.one(cli.client().get(path_of("tasks", task)).document)


@command(app, "log")
def show_log(cli: Cli, task: TaskId) -> None:
    """Print a task's log."""
    rows = cli.client().get(path_of("tasks", task, "log")).rows
    if cli.output is not Format.TABLE:
        cli.rows(rows, [])
        return
    for row in rows:
        print(f"{local_time(row.get('at'))}  {row.get('text')}")


@command(app, "cancel")
def cancel_task(cli: Cli, task: TaskId) -> None:
    """Ask a task to stop and undo what it did."""
    answer = cli.client().call("DELETE", path_of("tasks", task))
    cli.done(f"task {task} was asked to stop", answer.body)


@command(app, "wait")
def wait_for_task(cli: Cli, task: TaskId) -> None:
    """Wait until a task is over; fails as the task failed."""
    finished = follow_task(cli.client(), task, quiet=cli.quiet)
    result_of(finished)
    cli.done(f"task {task} is completed", finished)
