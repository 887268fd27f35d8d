"""A kind of documents, kept in memory: read without waiting, right at once for what this node wrote itself.

    load() -> documents as of revision R -> follow(): every change from R + 1
                  ^------- Compacted, Unavailable (after RETRY_S) -------'

Own writes are applied by `wrote` and `removed` before their caller gets an answer; the watch brings them again later,
and what is not newer than what is known is skipped.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

import msgspec

from horcrux.clock import Clock
from horcrux.errors import Unavailable
from horcrux.store import Collection, Compacted, Entry

T = TypeVar("T", bound=msgspec.Struct)
Changed = Callable[[T | None, T | None], None]
"""Called with what was and what is (None: nothing), after the mirror holds the latter."""

RETRY_S = 1.0

log = logging.getLogger(__name__)


class Mirror(Generic[T]):
    """Documents of `collection` by id. One task runs `follow`."""

    def __init__(self, collection: Collection[T], clock: Clock, changed: Changed[T]) -> None:
        self._collection = collection
        self._clock = clock
        self._changed = changed
        self._values: dict[str, T] = {}
        self._mods: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        """Revisions of what was removed here, until the watch has passed them."""
        self._revision = 0

    def get(self, id_: str) -> T | None:
        return self._values.get(id_)

    def revision_of(self, id_: str) -> int:
        """0 when there is no such document."""
        return self._mods.get(id_, 0)

    def values(self) -> Iterable[T]:
        return self._values.values()

    def __len__(self) -> int:
        return len(self._values)

    def wrote(self, id_: str, value: T, revision: int) -> None:
        """This node's own write is seen from now on."""
        self._apply(id_, value, revision)

    def removed(self, id_: str, revision: int) -> None:
        """This node removed the document that stood at `revision`."""
        self._apply(id_, None, revision)

    async def load(self) -> None:
        """The documents are those of the store, whatever was known before."""
        entries, revision = await self._collection.store.list(self._collection.prefix)
        listed = {self._id(entry): entry for entry in entries}
        for id_, entry in listed.items():
            self._apply(id_, self._decode(entry), entry.mod)
        for id_ in self._values.keys() - listed.keys():
            if self._mods[id_] <= revision:
                self._apply(id_, None, revision)
        self._revision = max(self._revision, revision)

    async def follow(self) -> None:
        """Keeps up with the store until cancelled."""
        while True:
            try:
                await self._watch()
            except Compacted:
                log.info("changes of %s were missed: listing again", self._collection.kind)
                await self._reload()
            except Unavailable as error:
                log.warning("cannot follow %s: %s", self._collection.kind, error)
                await self._clock.sleep(RETRY_S)

    async def _reload(self) -> None:
        try:
            await self.load()
        except Unavailable as error:
            log.warning("cannot list %s: %s", self._collection.kind, error)
            await self._clock.sleep(RETRY_S)

    async def _watch(self) -> None:
        changes = self._collection.store.watch(self._collection.prefix, self._revision + 1)
        async with aclosing(changes):
            async for change in changes:
                value = self._decode(change.entry) if change.kind == "put" else None
                self._apply(self._id(change.entry), value, change.entry.mod)
                self._passed(change.entry.mod)

    def _apply(self, id_: str, value: T | None, mod: int) -> None:
        known = self._mods.get(id_, 0)
        is_news = mod > known if value is not None else mod >= known
        if mod <= self._gone.get(id_, -1) or not is_news:
            return
        was = self._values.pop(id_, None)
        self._mods.pop(id_, None)
        self._gone.pop(id_, None)
        if value is None:
            self._gone[id_] = mod
        else:
            self._values[id_] = value
            self._mods[id_] = mod
        if was is not None or value is not None:
            self._changed(was, value)

    def _passed(self, revision: int) -> None:
        """Everything up to `revision` has been seen: what is gone needs no remembering."""
        self._revision = max(self._revision, revision)
        for id_ in [i for i, mod in self._gone.items() if mod <= revision]:
            del self._gone[id_]

    def _id(self, entry: Entry) -> str:
        return entry.key.removeprefix(self._collection.prefix)

    def _decode(self, entry: Entry) -> T | None:
        """None for a document that this version cannot read: it counts as absent, and the log names it."""
        try:
            return self._collection.decode(entry).value
        except msgspec.DecodeError:
            log.error("%s cannot be read and is left out (revision %d)", entry.key, entry.mod)
            return None
