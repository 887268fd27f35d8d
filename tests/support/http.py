"""The real server on a real loopback socket, with small ports behind it that a test can look into."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from agent.http.app import HttpServer, build_app
from agent.http.idempotency_store import StoredAnswers
from agent.http.middleware.rate_limit import MovingWindows
from agent.http.ports import TaskWaiter
from agent.http.route import AnyRoute
from agent.http.settings import HttpSettings
from agent.http.static import Pages
from cluster.store.memory import MemoryStore
from horcrux.audit import AuditEntry
from horcrux.auth.permission import ROLE_SCOPES, Role
from horcrux.auth.principal import Principal
from horcrux.errors import NotFound, Unauthenticated
from horcrux.ids import TaskId, UserName
from horcrux.store import Store
from horcrux.tasks import Task, TaskError, TaskState
from tests.support.clock import FakeClock


class KnownTokens:
    """Tokens `admin`, `operator` and `viewer`, each of a user of that name."""

    def __init__(self) -> None:
        self.known = {
            role.value: Principal(
                user=UserName(role.value), role=role, scopes=ROLE_SCOPES[role], token_id=f"token-of-{role.value}"
            )
            for role in Role
        }

    def authenticate(self, token: str, now: float) -> Principal:
        try:
            return self.known[token]
        except KeyError:
            raise Unauthenticated("this token is not known") from None


class AuditTrail:
    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def record(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


class HandTasks:
    """Tasks that end when the test says so."""

    def __init__(self) -> None:
        self._ends: dict[TaskId, asyncio.Future[Task]] = {}
        self._count = 0

    def begin(self, action: str = "vm.start", target: str = "vm/vm-100") -> Task:
        self._count += 1
        task = Task(
            id=TaskId(f"task-{self._count}"),
            action=action,
            target=target,
            node="n00000001",
            user=UserName("admin"),
            state=TaskState.QUEUED,
            created_at=1_700_000_000.0,
        )
        self._ends[task.id] = asyncio.get_running_loop().create_future()
        return task

    def complete(self, task: Task, result: dict[str, object] | None = None) -> Task:
        return self._end(msgspec.structs.replace(task, state=TaskState.COMPLETED, result=result))

    def fail(self, task: Task, code: str, message: str) -> Task:
        return self._end(msgspec.structs.replace(task, state=TaskState.FAILED, error=TaskError(code, message)))

    def _end(self, task: Task) -> Task:
        self._ends[task.id].set_result(task)
        return task

    async def wait(self, task_id: TaskId) -> Task:
        if task_id not in self._ends:
            raise NotFound(f"task {task_id} does not exist")
        return await asyncio.shield(self._ends[task_id])


class Served:
    """A server that runs, what stands behind it, and a client of it."""

    def __init__(self, server: HttpServer, client: aiohttp.ClientSession, audit: AuditTrail, clock: FakeClock) -> None:
        self.server = server
        self.client = client
        self.audit = audit
        self.clock = clock

    def as_(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    async def raw(self, request: bytes) -> bytes:
        """Everything the server sends to these bytes until it closes; so send `Connection: close`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(request)
            await writer.drain()
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()


NO_LIMIT = HttpSettings(is_rate_limited=False)


@asynccontextmanager
async def serving(
    routes: Sequence[AnyRoute],
    *,
    settings: HttpSettings = NO_LIMIT,
    tasks: TaskWaiter | None = None,
    store: Store | None = None,
    pages: Pages | None = None,
) -> AsyncIterator[Served]:
    clock, audit = FakeClock(), AuditTrail()
    store = store or MemoryStore(clock)
    app = build_app(
        routes,
        authenticator=KnownTokens(),
        tasks=tasks or HandTasks(),
        audit=audit,
        rate_limiter=MovingWindows(settings, clock),
        idempotency=StoredAnswers(store, clock, "boot1"),
        clock=clock,
        settings=settings,
        pages=pages,
    )
    async with (
        HttpServer(app, "127.0.0.1", 0, settings=settings) as server,
        aiohttp.ClientSession(server.url, cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        yield Served(server, client, audit, clock)
