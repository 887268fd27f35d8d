"""The node's journal: what happened here. Tasks with their logs and recoveries, and the audit, in one SQLite file.

Nothing in it is needed by another node to decide anything; other nodes read it by asking us.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from cluster.store.sqlite_thread import SqliteThread
from horcrux.audit import AuditEntry
from horcrux.errors import NotFound
from horcrux.ids import TaskId
from horcrux.tasks import LogLine, Recovery, Task

_SCHEMA = """
CREATE TABLE IF NOT EXISTS task (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, target TEXT NOT NULL, user TEXT NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_unfinished ON task (id) WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS task_target ON task (target, id);
CREATE TABLE IF NOT EXISTS task_log (task TEXT NOT NULL, at REAL NOT NULL, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS task_log_task ON task_log (task);
CREATE TABLE IF NOT EXISTS recovery (
    task TEXT NOT NULL, step INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (task, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, at REAL NOT NULL, body BLOB NOT NULL);
"""

KEPT_TASKS = 20_000
KEPT_AUDIT_ROWS = 200_000
TRIM_EVERY_ROWS = 2_000
MAX_LOG_LINES = 5_000
"""Of one task; what comes later is dropped, the last line says so."""


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    state: str | None = None
    target: str | None = None
    user: str | None = None


class Journal:
    def __init__(self, db: SqliteThread) -> None:
        self._db = db
        self._since_trim = 0

    @classmethod
    async def open(cls, path: Path) -> Self:
        journal = cls(await SqliteThread.open(path, _SCHEMA))
        await journal._db.write(_trim)
        return journal

    async def aclose(self) -> None:
        await self._db.aclose()

    async def put_task(self, task: Task) -> None:
        """The row is durable and as given."""
        row = (task.id, task.state.value, task.target, task.user, msgspec.json.encode(task))
        await self._db.write(
            lambda db: db.execute("INSERT OR REPLACE INTO task (id, state, target, user, body) VALUES (?,?,?,?,?)", row)
        )

    async def finish_task(self, task: Task, *, forget_recoveries: bool) -> None:
        """The final row, and with it, in one transaction, the end of its recoveries (unless some could not be done)."""
        row = (task.state.value, msgspec.json.encode(task), task.id)

        def write(db: sqlite3.Connection) -> None:
            db.execute("UPDATE task SET state = ?, body = ? WHERE id = ?", row)
            if forget_recoveries:
                db.execute("DELETE FROM recovery WHERE task = ?", (task.id,))

        await self._db.write(write)
        await self._trim_now_and_then(1)

    async def task(self, task_id: TaskId) -> Task:
        """NotFound when it was never here or is too old."""
        row = await self._db.read(lambda db: db.execute("SELECT body FROM task WHERE id = ?", (task_id,)).fetchone())
        if row is None:
            raise NotFound(f"task {task_id} does not exist", kind="task", id=task_id)
        return msgspec.json.decode(row[0], type=Task)

    async def tasks(self, wanted: TaskFilter, limit: int, after: str | None) -> list[Task]:
        """Newest first, beginning below id `after`."""
        conditions, values = [], []
        for column in ("state", "target", "user"):
            value = getattr(wanted, column)
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        if after is not None:
            conditions.append("id < ?")
            values.append(after)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT body FROM task {where} ORDER BY id DESC LIMIT ?"  # noqa: S608  columns are the three above
        rows = await self._db.read(lambda db: db.execute(sql, (*values, limit)).fetchall())
        return [msgspec.json.decode(r[0], type=Task) for r in rows]

    async def unfinished(self) -> list[tuple[Task, list[Recovery]]]:
        """Tasks of an earlier life that are not over or left recoveries, oldest first, with those in order."""
        sql = (
            "SELECT id, body FROM task WHERE state IN ('queued', 'running') "
            "UNION SELECT id, body FROM task WHERE id IN (SELECT task FROM recovery) ORDER BY id"
        )
        rows = await self._db.read(lambda db: db.execute(sql).fetchall())
        return [(msgspec.json.decode(body, type=Task), await self.recoveries(id_)) for id_, body in rows]

    async def recoveries(self, task_id: TaskId) -> list[Recovery]:
        sql = "SELECT body FROM recovery WHERE task = ? ORDER BY step"
        rows = await self._db.read(lambda db: db.execute(sql, (task_id,)).fetchall())
        return [msgspec.json.decode(r[0], type=Recovery) for r in rows]

    async def add_recovery(self, task_id: TaskId, step: int, recovery: Recovery) -> None:
        """The step is kept. The same step left by an earlier task is forgotten: it would undo what is made now."""
        row = (task_id, step, msgspec.json.encode(recovery))

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM recovery WHERE body = ? AND task != ?", (row[2], task_id))
            db.execute("INSERT INTO recovery (task, step, body) VALUES (?,?,?)", row)

        await self._db.write(write)

    async def forget_recoveries(self, task_id: TaskId) -> None:
        await self._db.write(lambda db: db.execute("DELETE FROM recovery WHERE task = ?", (task_id,)))

    async def forget_recovery(self, task_id: TaskId, recovery: Recovery) -> None:
        """This step of the task has been undone."""
        row = (task_id, msgspec.json.encode(recovery))
        await self._db.write(lambda db: db.execute("DELETE FROM recovery WHERE task = ? AND body = ?", row))

    async def put_stage(self, task: Task, lines: Sequence[LogLine]) -> None:
        """The row is as given, and the log has the lines: one write, so that whoever finds the task cut off knows where."""
        row = (msgspec.json.encode(task), task.id)
        rows = [(task.id, line.at, line.text) for line in lines]

        def write(db: sqlite3.Connection) -> None:
            db.execute("UPDATE task SET body = ? WHERE id = ?", row)
            db.executemany("INSERT INTO task_log (task, at, text) VALUES (?,?,?)", rows)

        await self._db.write(write)

    async def add_log(self, task_id: TaskId, lines: Sequence[LogLine]) -> None:
        rows = [(task_id, line.at, line.text) for line in lines]
        await self._db.write(lambda db: db.executemany("INSERT INTO task_log (task, at, text) VALUES (?,?,?)", rows))

    async def log(self, task_id: TaskId) -> list[LogLine]:
        sql = "SELECT at, text FROM task_log WHERE task = ? ORDER BY rowid"
        return [LogLine(*r) for r in await self._db.read(lambda db: db.execute(sql, (task_id,)).fetchall())]

    async def add_audit(self, rows: Sequence[AuditEntry]) -> None:
        values = [(row.at, msgspec.json.encode(row)) for row in rows]
        await self._db.write(lambda db: db.executemany("INSERT INTO audit (at, body) VALUES (?,?)", values))
        await self._trim_now_and_then(len(values))

    async def _trim_now_and_then(self, rows: int) -> None:
        self._since_trim += rows
        if self._since_trim >= TRIM_EVERY_ROWS:
            self._since_trim = 0
            await self._db.write(_trim)

    async def audit(self, limit: int) -> list[AuditEntry]:
        """The newest rows, newest first."""
        sql = "SELECT body FROM audit ORDER BY seq DESC LIMIT ?"
        rows = await self._db.read(lambda db: db.execute(sql, (limit,)).fetchall())
        return [msgspec.json.decode(r[0], type=AuditEntry) for r in rows]


def _trim(db: sqlite3.Connection) -> None:
    db.execute(
        "DELETE FROM task WHERE state NOT IN ('queued', 'running') AND id NOT IN (SELECT task FROM recovery) "
        "AND id < coalesce((SELECT id FROM task ORDER BY id DESC LIMIT 1 OFFSET ?), '')",
        (KEPT_TASKS,),
    )
    db.execute("DELETE FROM task_log WHERE task NOT IN (SELECT id FROM task)")
    db.execute("DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?", (KEPT_AUDIT_ROWS,))
