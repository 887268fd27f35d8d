"""A task is followed to its end, with a bar on the terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from agent.cli.client import Client, Document, path_of
from agent.cli.exits import CliError, error_of
from agent.cli.stream import EventStream

_FINAL = {"completed", "failed", "cancelled"}

Tell = Callable[[str, float], None]
"""Told what is done now, and which part of the whole is done (0..1)."""


@contextmanager
def bar(title: str, *, quiet: bool) -> Iterator[Tell]:
    """A progress bar on stderr while the block runs; nothing where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield lambda _stage, _fraction: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        line = progress.add_task(escape(title), total=1.0)

        def tell(stage: str, fraction: float) -> None:
            progress.update(line, description=escape(f"{title}: {stage}" if stage else title), completed=fraction)

        yield tell


def follow_task(client: Client, task_id: str, *, quiet: bool) -> Document:
    """The task once it is over, however it ended. Ctrl+C leaves it running and says so."""
    title = f"task {task_id}"
    try:
        with bar(title, quiet=quiet) as tell:
            for event in EventStream(client).events():
                if event is None or event.kind == "reset":
                    task: Document | None = client.get(path_of("tasks", task_id)).document
                elif event.kind == "task" and event.id == task_id:
                    task = event.data
                else:
                    continue
                if task is None:
                    raise CliError(f"task {task_id} is no longer known")
                if task.get("state") in _FINAL:
                    return task
                fraction = task.get("progress")
                tell(_headline(task), float(fraction) if isinstance(fraction, int | float) else 0.0)
    except KeyboardInterrupt:
        step = f"follow it with `horcrux task wait {task_id}`, end it with `horcrux task cancel {task_id}`"
        raise CliError(f"no longer waiting; task {task_id} goes on", next_step=step) from None
    raise AssertionError("the event stream has no end")


def _headline(task: Document) -> str:
    return f"{task.get('action', '')} {task.get('target', '')}  {task.get('stage') or task.get('state') or ''}".strip()


def result_of(task: Document) -> object:
    """What a finished task gave; CliError with its reason when it did not complete."""
    if task.get("state") == "completed":
        return task.get("result")
    reason = str(task.get("error") or f"it is {task.get('state')}")
    error = error_of(f"{task.get('action')} {task.get('target')}: {reason}", code=str(task.get("error_code") or ""))
    error.next_step = error.next_step or f"its log: `horcrux task log {task.get('id')}`"
    raise error
