"""A copy in memory of what the Store holds below some prefixes, kept by a watch. Lists are loops over it.

    listing --list at R--> following from R+1 --each event--> following
       ^------Compacted, or the store does not answer (is_stale)------'

Decisions never rest on a replica alone: they are compare-and-swap on the Store.
"""

import asyncio
import logging
from bisect import insort
from collections.abc import Callable, Sequence
from contextlib import aclosing
from os.path import commonprefix
from typing import Self

from cluster.clock import SystemClock
from cluster.store.entries import SortedEntries
from horcrux.clock import Clock
from horcrux.errors import HorcruxError
from horcrux.store import Compacted, Entry, Event, Store

log = logging.getLogger(__name__)
OnChange = Callable[[str, Entry | None], None]
RETRY_S = 0.5
_CACHED_PREFIXES = 64


class Replica:
    """Entries below `prefixes` (none of which may be the beginning of another) as of `revision`.

    Open it with `start` or `async with`. What it tells does not change while the caller does not await.
    """

    def __init__(self, store: Store, prefixes: Sequence[str], *, clock: Clock | None = None) -> None:
        self._store = store
        self._prefixes = tuple(prefixes)
        self._clock = clock or SystemClock()
        self._entries = SortedEntries()
        self._listed: dict[str, int] = {}
        self._lists: dict[str, tuple[Entry, ...]] = {}
        self._callbacks: list[tuple[str, OnChange]] = []
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waits = 0
        self._following: asyncio.Task[None] | None = None
        self._is_following = False
        self.revision = 0
        """All changes of the prefixes up to it are in, perhaps later ones too."""

    @property
    def is_stale(self) -> bool:
        """The Store does not answer at the moment, or has not been asked yet: what stands here may be old."""
        return not self._is_following

    async def start(self) -> None:
        """Everything has been listed once. Raises Unavailable when the Store cannot be asked; then it is not started."""
        await self._list()
        self._following = asyncio.create_task(self._follow(), name="replica")

    async def aclose(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        self._is_following = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def entry(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def entries(self, prefix: str) -> tuple[Entry, ...]:
        """By key. The same tuple as before when nothing below `prefix` has changed, so it may be compared by `is`."""
        found = self._lists.get(prefix)
        if found is None:
            found = tuple(self._entries.below(prefix))
            if len(self._lists) >= _CACHED_PREFIXES:
                self._lists.clear()
            self._lists[prefix] = found
        return found

    def on_change(self, prefix: str, callback: OnChange) -> Callable[[], None]:
        """From now on `callback(key, entry or None)` is called for each change below `prefix`, in order, after it has
        been applied; it must be quick and not raise. Returns what ends it. Put there before `start`, it hears of
        every entry."""
        registered = (prefix, callback)
        self._callbacks.append(registered)

        def end() -> None:
            if registered in self._callbacks:
                self._callbacks.remove(registered)

        return end

    async def wait_for(self, revision: int, timeout_s: float = 2.0) -> bool:
        """Whether the replica holds all changes up to `revision`, at the latest after `timeout_s`.

        `revision` is that of a write below one of the prefixes: no other write moves the replica on.
        """
        if revision <= self.revision:
            return True
        reached = asyncio.get_running_loop().create_future()
        self._waits += 1
        waiter = (revision, self._waits, reached)
        insort(self._waiters, waiter)
        try:
            async with asyncio.timeout(timeout_s):
                await reached
        except TimeoutError:
            return False
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return True

    async def _follow(self) -> None:
        """Until cancelled. Errors of the Store make us stale, never stop us."""
        while True:
            try:
                if not self._is_following:
                    await self._list()
                await self._apply_changes()
            except Compacted:
                self._is_following = False
            except HorcruxError as err:
                if self._is_following:
                    log.warning("the replica of %s is stale: %s", ", ".join(self._prefixes), err)
                self._is_following = False
                await self._clock.sleep(RETRY_S)

    async def _list(self) -> None:
        """Every prefix as of a revision of its own; events up to that are skipped later. What differs is told."""
        for prefix in self._prefixes:
            entries, self._listed[prefix] = await self._store.list(prefix)
            now = {entry.key for entry in entries}
            for old in self._entries.below(prefix):
                if old.key not in now:
                    self._set(old.key, None)
            for entry in entries:
                old_entry = self._entries.get(entry.key)
                if old_entry is None or old_entry.mod != entry.mod:
                    self._set(entry.key, entry)
        self._is_following = True
        self._reach(min(self._listed.values()))

    async def _apply_changes(self) -> None:
        watched = commonprefix(self._prefixes)  # noqa: RUF071 -- character by character, as the Store's prefixes are
        async with aclosing(self._store.watch(watched, min(self._listed.values()) + 1)) as watch:
            async for event in watch:
                self._apply(event)

    def _apply(self, event: Event) -> None:
        """The other events of its revision follow before anybody else runs (`Watch`), so telling the revision now is
        early for no one."""
        entry = event.entry
        prefix = next((prefix for prefix in self._prefixes if entry.key.startswith(prefix)), None)
        if prefix is not None and entry.mod > self._listed[prefix]:
            self._set(entry.key, entry if event.kind == "put" else None)
        self._reach(entry.mod)

    def _set(self, key: str, entry: Entry | None) -> None:
        if entry is None:
            self._entries.remove(key)
        else:
            self._entries.put(entry)
        for prefix in [prefix for prefix in self._lists if key.startswith(prefix)]:
            del self._lists[prefix]
        for prefix, callback in tuple(self._callbacks):
            if key.startswith(prefix):
                try:
                    callback(key, entry)
                except Exception:
                    log.exception("a callback for changes below %s failed on %s", prefix, key)

    def _reach(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        while self._waiters and self._waiters[0][0] <= self.revision:
            _, _, reached = self._waiters.pop(0)
            if not reached.done():
                reached.set_result(None)
