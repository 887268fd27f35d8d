"""The Store of a single node, in one SQLite file.

`kv` holds the keys as they stand, `log` the newest changes, whole, for watches that come from an older revision (the
idea of kine). A log row's id is its revision times 2^20 plus its place in the transaction, so that the newest id tells
the revision and the newest row is never trimmed. Watches are fed from memory (`History`); the log serves those that
have fallen behind, or were away over a restart.

Leases run on the injected clock while we run; after a restart each has its full time again, because nobody can say
how long its owner was kept from renewing it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from cluster.store.history import History, HistoryWatch
from cluster.store.leases import HeldLease, Leases, check_ttl
from cluster.store.lock import Locks
from cluster.store.sqlite_log import KEPT_IN_MEMORY_BYTES, KEPT_IN_MEMORY_EVENTS, LogTable
from cluster.store.sqlite_thread import SqliteThread
from cluster.store.txn import Outcome, check_key, check_txn, evaluate, prefix_end
from horcrux.clock import Clock
from horcrux.errors import Invalid, Unavailable
from horcrux.store import Compare, Delete, Entry, Event, Lease, Op, TxnResult

_VERSION = 1
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS kv (
    k TEXT PRIMARY KEY, v BLOB NOT NULL, cre INTEGER NOT NULL, mod INTEGER NOT NULL, ver INTEGER NOT NULL,
    lease INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS kv_lease ON kv (lease) WHERE lease != 0;
CREATE TABLE IF NOT EXISTS lease (id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_s INTEGER NOT NULL) STRICT;
{LogTable.SCHEMA}
"""
_GET = "SELECT k, v, cre, mod, ver, lease FROM kv WHERE k = ?"
_FROM = "SELECT k, v, cre, mod, ver, lease FROM kv WHERE k >= ? ORDER BY k"
_BETWEEN = "SELECT k, v, cre, mod, ver, lease FROM kv WHERE k >= ? AND k < ? ORDER BY k"
_INSERT = "INSERT INTO kv (k, v, cre, mod, ver, lease) VALUES (?, ?, ?, ?, ?, ?)"
_UPDATE = "UPDATE kv SET v = ?, mod = ?, ver = ?, lease = ? WHERE k = ?"


class _Rows:
    """`cluster.store.txn.Rows`, for one transaction on the writer's thread."""

    __slots__ = ("_connection", "_known", "_leases")

    def __init__(self, connection: sqlite3.Connection, leases: Leases) -> None:
        self._connection = connection
        self._leases = leases
        self._known: dict[str, Entry | None] = {}

    def get(self, key: str) -> Entry | None:
        if key not in self._known:
            self._known[key] = _get(self._connection, key)
        return self._known[key]

    def put(self, entry: Entry) -> None:
        if entry.version == 1:
            row = (entry.key, entry.value, entry.create, entry.mod, 1, entry.lease)
            self._connection.execute(_INSERT, row)
        else:
            self._connection.execute(_UPDATE, (entry.value, entry.mod, entry.version, entry.lease, entry.key))
        self._known[entry.key] = entry

    def remove(self, entry: Entry) -> None:
        self._connection.execute("DELETE FROM kv WHERE k = ?", (entry.key,))
        self._known[entry.key] = None

    def has_lease(self, lease_id: int) -> bool:
        return self._leases.is_alive(lease_id)


class SqliteStore:
    """`horcrux.store.Store`, durable when a call returns. Make it with `open`."""

    def __init__(self, thread: SqliteThread, clock: Clock, log: LogTable, revision: int) -> None:
        self._thread = thread
        self._log = log
        self._leases = Leases(clock, self._end_lease)
        self._history = History(
            revision, first=revision + 1, max_events=KEPT_IN_MEMORY_EVENTS, max_bytes=KEPT_IN_MEMORY_BYTES
        )
        self._locks = Locks(self)

    @classmethod
    async def open(cls, path: Path, clock: Clock, log: LogTable | None = None) -> Self:
        """Raises Unavailable when the file cannot be used, NoSpace. Two openers of one file are the caller's mistake."""
        thread = await SqliteThread.open(path, SCHEMA)
        try:
            return await cls.over(thread, clock, log)
        except BaseException:
            await thread.aclose()
            raise

    @classmethod
    async def over(cls, thread: SqliteThread, clock: Clock, log: LogTable | None = None) -> Self:
        """A store in a file that is open and has the tables of `SCHEMA`; it is closed with the store."""
        await thread.write(_check_version)
        log = log or LogTable()
        store = cls(thread, clock, log, await thread.read(log.revision))
        for lease_id, ttl_s in await thread.read(_leases):
            store._leases.add(lease_id, ttl_s)
        return store

    async def get(self, key: str) -> Entry | None:
        check_key(key)
        return await self._thread.read(lambda connection: _get(connection, key))

    async def list(self, prefix: str) -> tuple[list[Entry], int]:
        return await self._thread.read(lambda connection: (_below(connection, prefix), self._log.revision(connection)))

    async def txn(self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()) -> TxnResult:
        check_txn(compares, then, otherwise)
        outcome = await self._commit(lambda connection: self._apply(connection, compares, then, otherwise))
        return outcome.result

    def watch(self, prefix: str, from_revision: int) -> HistoryWatch:
        return HistoryWatch(self._history, prefix, from_revision, self._replay)

    async def lease(self, ttl_s: int) -> HeldLease:
        check_ttl(ttl_s)
        granted: list[HeldLease] = []
        await self._thread.write(
            lambda connection: _grant(connection, ttl_s),
            on_commit=lambda lease_id: granted.append(self._leases.add(lease_id, ttl_s)),
        )
        return granted[0]

    async def revoke_lease(self, lease_id: int) -> None:
        await self._leases.revoke(lease_id)

    async def lock(self, name: str, lease: Lease, holder: bytes = b"") -> int:
        return await self._locks.lock(name, lease, holder)

    async def try_lock(self, name: str, lease: Lease, holder: bytes = b"") -> int | None:
        return await self._locks.try_lock(name, lease, holder)

    async def unlock(self, name: str, token: int) -> None:
        await self._locks.unlock(name, token)

    async def compact(self, revision: int) -> None:
        if revision > self._history.revision:
            raise Invalid(f"revision {revision} is still to come, the store is at {self._history.revision}")
        await self._thread.write(
            lambda connection: self._log.forget_before(connection, revision),
            on_commit=lambda _: self._history.forget_before(revision),
        )

    async def aclose(self) -> None:
        """What was accepted is done; leases stop counting and are there at the next start."""
        await self._leases.aclose()
        await self._thread.aclose()
        self._history.close()

    async def _commit(self, change: Callable[[sqlite3.Connection], Outcome]) -> Outcome:
        """What `change` can raise but for SQLite's own errors (LeaseLost) it raises before it writes."""
        return await self._thread.write(change, on_commit=self._publish, is_isolated=False)

    def _publish(self, outcome: Outcome) -> None:
        self._history.publish(outcome.events)

    def _apply(
        self, connection: sqlite3.Connection, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op]
    ) -> Outcome:
        outcome = evaluate(_Rows(connection, self._leases), self._log.newest(connection), compares, then, otherwise)
        self._log.append(connection, outcome.events)
        return outcome

    async def _end_lease(self, lease_id: int) -> None:
        def end(connection: sqlite3.Connection) -> Outcome:
            keys = connection.execute(
                "SELECT k FROM kv WHERE lease = ? AND lease != 0 ORDER BY k", (lease_id,)
            ).fetchall()
            connection.execute("DELETE FROM lease WHERE id = ?", (lease_id,))
            return self._apply(connection, [], [Delete(key) for (key,) in keys], [])

        await self._commit(end)

    async def _replay(self, revision: int) -> tuple[Sequence[Event], int]:
        return await self._thread.read(lambda connection: self._log.replay(connection, revision))


def _get(connection: sqlite3.Connection, key: str) -> Entry | None:
    row = connection.execute(_GET, (key,)).fetchone()
    return None if row is None else Entry(*row)


def _below(connection: sqlite3.Connection, prefix: str) -> list[Entry]:
    end = prefix_end(prefix)
    rows = connection.execute(_FROM, (prefix,)) if end is None else connection.execute(_BETWEEN, (prefix, end))
    return [Entry(*row) for row in rows]


def _grant(connection: sqlite3.Connection, ttl_s: int) -> int:
    """The id; none is ever used again, not even after the lease is gone."""
    lease_id = connection.execute("INSERT INTO lease (ttl_s) VALUES (?)", (ttl_s,)).lastrowid
    assert lease_id is not None
    return lease_id


def _leases(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    return connection.execute("SELECT id, ttl_s FROM lease").fetchall()


def _check_version(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise Unavailable(f"the store's file is of version {version}, this agent knows up to {_VERSION}: upgrade it")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
