"""One SQLite file with one writer: the durable ground of the Store and of the node's journal.

An fsync is what a durable write costs, so writes share them (group commit): while one transaction is under way, the
calls that arrive meanwhile wait, and go together into the next one. Each call has a SAVEPOINT of its own.

    write(fn) -> waiting --(lane idle)--> BEGIN, fn in SAVEPOINT ..., COMMIT --> on_commit, future   (next batch)
                                             |fn raises: only its own part is undone
                                             |COMMIT fails: nothing of the batch happened, each caller is told

Reads run on a connection and thread of their own (WAL), each batch of them on one snapshot that is younger than every
write that was acknowledged before the read was asked for.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from cluster.store.finish import finished
from horcrux.errors import Conflict, HorcruxError, NoSpace, Unavailable

T = TypeVar("T")
Synchronous = Literal["FULL", "NORMAL"]
MAX_BATCH = 512
"""Calls in one transaction, so that a burst does not make its first caller wait for its last."""
BUSY_TIMEOUT_MS = 5000
CHECKPOINT_PAGES = 4096
"""16 MiB of WAL: at the default of 1000 pages the checkpoint's fsync of the database came every 25 batches."""

WAL_KEPT_BYTES = 64 * 1024**2
"""What a burst of large values may leave of the WAL file once it is folded in."""


class _Call(Generic[T]):
    """One function on its way through the thread. `value` or `error` is set there, all else on the loop."""

    __slots__ = ("_future", "_is_settled", "_over", "error", "fn", "is_isolated", "on_commit", "value")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fn: Callable[[sqlite3.Connection], T],
        on_commit: Callable[[T], None] | None,
        is_isolated: bool,
    ) -> None:
        self.fn = fn
        self.on_commit = on_commit
        self.is_isolated = is_isolated
        self.value: T
        self.error: Exception | None = None
        self._future: asyncio.Future[T] = loop.create_future()
        self._over: asyncio.Future[None] | None = None
        self._is_settled = False

    async def result(self) -> T:
        """As `finished` does it, but one turn of the loop sooner than a shield: the caller's next call can then join
        the batch that follows."""
        try:
            return await self._future
        except asyncio.CancelledError:
            await self._settled()
            raise

    async def _settled(self) -> None:
        if self._is_settled:
            return
        self._over = asyncio.get_running_loop().create_future()
        while not self._over.done():
            with suppress(asyncio.CancelledError):  # asked again: the first request is on its way already
                await asyncio.wait([self._over])

    def settle(self, lost: BaseException | None) -> None:
        self._is_settled = True
        if self._over is not None:
            self._over.set_result(None)
        error = lost or self.error
        try:
            if error is None and self.on_commit is not None:
                self.on_commit(self.value)
        except Exception as broken:  # noqa: BLE001 -- told to its caller: the others of the batch go on
            error = broken
        if self._future.done():
            return  # the caller was cancelled
        if error is None:
            self._future.set_result(self.value)
        else:
            self._future.set_exception(translated(error))


class _Lane:
    """A thread, its connection, and the calls that wait for it. All state but the connection belongs to the loop."""

    def __init__(
        self,
        name: str,
        open_: Callable[[], sqlite3.Connection],
        run: Callable[[sqlite3.Connection, Sequence[_Call[Any]]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._open = open_
        self._run = run
        self._waiting: list[_Call[Any]] = []
        self._under_way: list[_Call[Any]] = []
        self._closing: asyncio.Future[None] | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        try:
            self._connection = await finished(self._loop.run_in_executor(self._pool, self._open))
        except (sqlite3.Error, OSError) as error:
            self._pool.shutdown(wait=False)
            raise translated(error) from error

    async def run(
        self,
        fn: Callable[[sqlite3.Connection], T],
        on_commit: Callable[[T], None] | None = None,
        *,
        is_isolated: bool = False,
    ) -> T:
        if self._closing is not None or self._connection is None:
            raise Unavailable("the database is closed")
        call = _Call(self._loop, fn, on_commit, is_isolated)
        self._waiting.append(call)
        if not self._under_way and len(self._waiting) == 1:
            self._loop.call_soon(self._start)  # not at once: what else is ready in this turn joins the batch
        return await call.result()

    def _start(self) -> None:
        connection = self._connection
        if self._under_way or not self._waiting or connection is None:
            return
        self._under_way, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        running = self._loop.run_in_executor(self._pool, self._run, connection, self._under_way)
        running.add_done_callback(self._settle)

    def _settle(self, running: asyncio.Future[None]) -> None:
        lost = running.exception()
        batch, self._under_way = self._under_way, []
        for call in batch:
            call.settle(lost)
        if self._waiting:
            # After the callers just served, who may come again: fewer, fuller batches.
            self._loop.call_soon(self._start)
        elif self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    async def aclose(self) -> None:
        """Calls that were accepted are finished first. Twice does no harm."""
        if self._closing is not None:
            await asyncio.wait([self._closing])
            return
        self._closing = self._loop.create_future()
        if self._under_way or self._waiting:
            await asyncio.wait([self._closing])
        else:
            self._closing.set_result(None)
        if self._connection is not None:
            await finished(self._loop.run_in_executor(self._pool, self._connection.close))
        self._pool.shutdown(wait=False)


class SqliteThread:
    """A SQLite file, its writer and its reader. Make it with `open`, end it with `aclose` (or `async with`)."""

    def __init__(self, path: Path, writer: _Lane, reader: _Lane) -> None:
        self.path = path
        self._writer = writer
        self._reader = reader

    @classmethod
    async def open(cls, path: Path, schema_sql: str, *, synchronous: Synchronous = "FULL") -> "SqliteThread":
        """The file exists (mode 0600, its folder synced) and `schema_sql` has run, which must be safe to repeat.

        With NORMAL a power failure may lose the newest writes, never their order. Raises NoSpace, Unavailable.
        """
        writer = _Lane(f"sqlite-write-{path.name}", lambda: _open_writer(path, schema_sql, synchronous), _run_writes)
        reader = _Lane(f"sqlite-read-{path.name}", lambda: _open_reader(path), _run_reads)
        await writer.open()
        try:
            await reader.open()
        except BaseException:
            await writer.aclose()
            raise
        return cls(path, writer, reader)

    async def write(
        self,
        fn: Callable[[sqlite3.Connection], T],
        *,
        on_commit: Callable[[T], None] | None = None,
        is_isolated: bool = True,
    ) -> T:
        """Result of `fn`, durable when it returns. `fn` must not begin, commit or roll back.

        `on_commit(result)` runs on the loop, in the order of commits, before any later write's. What `fn` raises undoes
        its own part only. An accepted call is awaited even when we are cancelled: it happens, and happens once.
        Raises NoSpace, Unavailable, Conflict (a constraint), and whatever else `fn` raises, unchanged.

        With `is_isolated=False` it has no savepoint (a tenth of a small write's cost): for a `fn` that raises before
        its first change. Should it raise after one, all calls of its batch fail and nothing of them happened.
        """
        return await self._writer.run(fn, on_commit, is_isolated=is_isolated)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Result of `fn` on a snapshot that holds every write acknowledged before. Raises as `write` does."""
        return await self._reader.run(fn)

    async def aclose(self) -> None:
        """Accepted calls are finished, the WAL is folded into the file, later calls raise Unavailable."""
        await self._reader.aclose()
        await self._writer.aclose()

    async def __aenter__(self) -> "SqliteThread":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def translated(error: BaseException) -> BaseException:
    """Our error for SQLite's or the system's, with it as the cause; others as they are."""
    ours: HorcruxError
    if isinstance(error, sqlite3.IntegrityError):
        ours = Conflict(f"the database refuses the write: {error}")
    elif isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)):
        return error  # our own mistake, not the database's state
    elif isinstance(error, sqlite3.Error):
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            ours = NoSpace("the disk of the node's state folder is full: free space there; no change was made")
        else:
            ours = Unavailable(f"the database cannot be used: {error}")
    elif isinstance(error, OSError):
        ours = Unavailable(f"the database file cannot be used: {error.strerror}")
    else:
        return error
    ours.__cause__ = error
    return ours


def _open_writer(path: Path, schema_sql: str, synchronous: Synchronous) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(path)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        connection.executescript(schema_sql)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    """Autocommit, so that transactions are ours; opened and closed on the lane's thread, never used from another."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection


def _run_writes(connection: sqlite3.Connection, batch: Sequence[_Call[Any]]) -> None:
    """Every call's value or error is set and the values are durable; or it raises, and nothing happened."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for call in batch:
            (_run_in_savepoint if call.is_isolated else _run_plainly)(connection, call)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _run_in_savepoint(connection: sqlite3.Connection, call: _Call[Any]) -> None:
    connection.execute("SAVEPOINT call")
    try:
        call.value = call.fn(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise  # disk full, I/O error: SQLite has rolled back the whole batch
        connection.execute("ROLLBACK TO call")
        call.error = error
    connection.execute("RELEASE call")


def _run_plainly(connection: sqlite3.Connection, call: _Call[Any]) -> None:
    changes = connection.total_changes
    try:
        call.value = call.fn(connection)
    except Exception as error:
        if isinstance(error, sqlite3.Error) or connection.total_changes != changes:
            raise
        call.error = error


def _run_reads(connection: sqlite3.Connection, batch: Sequence[_Call[Any]]) -> None:
    connection.execute("BEGIN")
    try:
        for call in batch:
            try:
                call.value = call.fn(connection)
            except Exception as error:  # noqa: BLE001 -- carried to the caller's future, as an executor does
                call.error = error
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
