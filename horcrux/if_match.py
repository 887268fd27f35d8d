"""Whether what somebody changes is what he has read (If-Match)."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from horcrux.errors import Stale
from horcrux.store import Document
from horcrux.tasks import as_result

T = TypeVar("T", bound=msgspec.Struct)


async def check_match(
    name: str,
    found: Document[T],
    if_match: int | None,
    show: Callable[[], msgspec.Struct | Awaitable[msgspec.Struct]],
) -> None:
    """Stale, with what `show` shows, when `if_match` names another revision than the one found. `name`: `VM web`."""
    if if_match is None or if_match == found.revision:
        return
    shown = show()
    current = as_result(shown if isinstance(shown, msgspec.Struct) else await shown)
    _, kind, id_ = found.key.rsplit("/", 2)
    words = f"{name} has changed since you read it; look at it again"
    raise Stale(words, kind=kind, id=id_, current=current, revision=current.get("revision", found.revision))
