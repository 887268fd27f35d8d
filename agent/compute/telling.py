"""Telling what is being done, by steps that a task takes as well as an undo."""

from typing import Protocol


class Stage(Protocol):
    """As `TaskRun.stage`."""

    async def __call__(self, text: str, progress: float | None = None, /) -> None: ...


async def untold(_text: str, _progress: float | None = None, /) -> None:
    """For an undo, which has no task of its own to tell."""
