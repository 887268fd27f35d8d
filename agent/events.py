"""The event bus: what changes is published once, and whoever listens gets it in order."""

from typing import Protocol

from horcrux.auth.permission import Scope


class Publisher(Protocol):
    """The part of the bus that services use (`EventBus` is the implementation)."""

    def publish(self, kind: str, id_: str, data: object | None, scope: Scope) -> None:
        """Tells all listeners that may `scope` that `kind` `id_` is now `data` (a Struct or JSON-ready; None: gone).
        Never blocks, never fails for a slow listener."""
        ...
