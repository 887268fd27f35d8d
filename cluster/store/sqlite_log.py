"""The SQLite store's log: the newest changes, whole, bounded in number and bytes."""

import sqlite3
from collections.abc import Sequence
from typing import ClassVar, Literal

from cluster.store.history import compacted
from horcrux.store import Entry, Event

KEPT_IN_MEMORY_EVENTS = 8192
KEPT_IN_MEMORY_BYTES = 16 * 1024**2
_SHIFT = 20
"""Room for 2^20 events in a revision (the end of a lease may delete many keys) and for 2^43 revisions."""
_REPLAYED_REVISIONS = 512
_KINDS: tuple[Literal["put", "delete"], ...] = ("put", "delete")
_APPEND = "INSERT INTO log (id, kind, k, v, cre, ver, lease) VALUES (?, ?, ?, ?, ?, ?, ?)"
_OLDEST_THAT_FITS = """
SELECT min(id) FROM (SELECT id, sum(length(v)) OVER (ORDER BY id DESC) AS total FROM log) WHERE total <= ?
"""


class LogTable:
    """Rows of `log` and the first revision they are complete from. Used on the writer's and the reader's thread; what
    it keeps beside the tables belongs to the writer's."""

    SCHEMA: ClassVar[str] = """
CREATE TABLE IF NOT EXISTS log (
    id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, k TEXT NOT NULL, v BLOB NOT NULL, cre INTEGER NOT NULL,
    ver INTEGER NOT NULL, lease INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS log_first (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO log_first VALUES (1, 1);
"""

    def __init__(self, kept_revisions: int = 10_000, kept_bytes: int = 64 * 1024**2, trim_every: int = 1024) -> None:
        self._kept_revisions = kept_revisions
        self._kept_bytes = kept_bytes
        self._trim_every = trim_every
        self._untrimmed_bytes = 0
        self._newest: int | None = None

    def newest(self, connection: sqlite3.Connection) -> int:
        """The revision to go on from, on the writer's thread. A batch that is lost leaves a gap behind: revisions that
        no one was ever told."""
        if self._newest is None:
            self._newest = self.revision(connection)
        return self._newest

    def revision(self, connection: sqlite3.Connection) -> int:
        """Of the newest change; 1 in a new store, as in etcd."""
        (newest,) = connection.execute("SELECT max(id) FROM log").fetchone()
        return 1 if newest is None else int(newest) >> _SHIFT

    def append(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        """The events of one revision; now and then the oldest go."""
        for place, event in enumerate(events):
            entry = event.entry
            row_id = (entry.mod << _SHIFT) + place
            kind = _KINDS.index(event.kind)
            connection.execute(
                _APPEND, (row_id, kind, entry.key, entry.value, entry.create, entry.version, entry.lease)
            )
            self._untrimmed_bytes += len(entry.value)
        if events:
            self._newest = events[0].entry.mod
            self._trim(connection, self._newest)

    def replay(self, connection: sqlite3.Connection, revision: int) -> tuple[list[Event], int]:
        """Events from `revision` on and the last revision they cover. Raises Compacted."""
        (first,) = connection.execute("SELECT revision FROM log_first").fetchone()
        if revision < first:
            raise compacted(revision, first)
        covered = min(revision + _REPLAYED_REVISIONS - 1, self.revision(connection))
        rows = connection.execute(
            "SELECT id, kind, k, v, cre, ver, lease FROM log WHERE id >= ? AND id < ? ORDER BY id",
            (revision << _SHIFT, (covered + 1) << _SHIFT),
        )
        events = [
            Event(_KINDS[kind], Entry(key, value, create, row_id >> _SHIFT, version, lease))
            for row_id, kind, key, value, create, version, lease in rows
        ]
        return events, covered

    def forget_before(self, connection: sqlite3.Connection, revision: int) -> None:
        """The newest row stays: it tells the store's revision."""
        newest = self.revision(connection)
        connection.execute("DELETE FROM log WHERE id < ?", (min(revision, newest) << _SHIFT,))
        connection.execute("UPDATE log_first SET revision = max(revision, ?)", (revision,))

    def _trim(self, connection: sqlite3.Connection, newest: int) -> None:
        """Only every so often: a thousand rows at once cost little more than one."""
        if newest % self._trim_every == 0:
            self.forget_before(connection, newest - self._kept_revisions + 1)
        if self._untrimmed_bytes > self._kept_bytes // 4:
            self._untrimmed_bytes = 0
            (oldest,) = connection.execute(_OLDEST_THAT_FITS, (self._kept_bytes,)).fetchone()
            # The oldest revision that fits may do so in part only; the newest stays in any case.
            self.forget_before(connection, newest if oldest is None else min(newest, (oldest >> _SHIFT) + 1))
