"""Tasks behind calls, and POSTs that are sent twice."""

import asyncio

import pytest

from agent.http.idempotency_store import StoredAnswers
from agent.http.ports import Remembered
from agent.http.route import AnyRoute, Call, Nothing, Route
from agent.http.settings import HttpSettings
from cluster.store.memory import MemoryStore
from horcrux.auth.permission import ROLE_SCOPES, Role, Scope
from horcrux.auth.principal import Principal
from horcrux.errors import Busy, Conflict, Unprocessable
from horcrux.ids import UserName
from horcrux.tasks import Task
from tests.support.clock import FakeClock
from tests.support.http import HandTasks, serving

ADMIN = Principal(user=UserName("admin"), role=Role.ADMIN, scopes=ROLE_SCOPES[Role.ADMIN], token_id="t")


class Api:
    """`POST /api/run` is a task; `POST /api/make` counts how often it was done; `POST /api/tokens` shows a secret."""

    def __init__(self) -> None:
        self.tasks = HandTasks()
        self.begun: list[Task] = []
        self.made = 0
        self.fails = 0
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()

    async def run(self, _: Call[Nothing, Nothing]) -> Task:
        self.begun.append(self.tasks.begin())
        return self.begun[-1]

    async def make(self, _: Call[Nothing, Nothing]) -> dict[str, int]:
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            self.fails -= 1
            raise Busy("something else works on it")
        self.made += 1
        return {"made": self.made}

    def routes(self) -> list[AnyRoute]:
        return [
            Route(
                "POST", "/api/run", self.run, scope=Scope.VM_POWER, summary="Run", task=True, status=201, audit="vm.run"
            ),
            Route("POST", "/api/make", self.make, scope=Scope.VM_WRITE, summary="Make", status=201, audit="vm.make"),
            Route("POST", "/api/tokens", self.make, scope=Scope.SELF, summary="T", audit="t", shows_secret=True),
        ]


async def begun(api: Api, count: int = 1) -> None:
    async with asyncio.timeout(5):
        while len(api.begun) < count:
            await asyncio.sleep(0)


async def test_a_task_route_answers_its_result_when_the_task_is_over() -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks) as s:
        asking = asyncio.ensure_future(s.client.post("/api/run", headers=s.as_("admin")))
        await begun(api)
        api.tasks.complete(api.begun[0], {"id": "vm-1", "revision": 5})
        async with await asking as answer:
            assert (answer.status, answer.headers["ETag"]) == (201, '"5"')
            assert answer.headers["X-Horcrux-Task"] == "task-1"
            assert await answer.json() == {"id": "vm-1", "revision": 5}
    assert s.audit.entries[0].target == "vm/vm-100"


async def test_a_task_without_a_result_answers_an_empty_body() -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks) as s:
        asking = asyncio.ensure_future(s.client.post("/api/run", headers=s.as_("admin")))
        await begun(api)
        api.tasks.complete(api.begun[0])
        async with await asking as answer:
            assert (answer.status, await answer.read()) == (201, b"")


@pytest.mark.parametrize(
    ("code", "status"), [("no_space", 507), ("busy", 409), ("interrupted", 500), ("lease_lost", 503)]
)
async def test_a_failed_task_answers_as_its_error_would(code: str, status: int) -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks) as s:
        asking = asyncio.ensure_future(s.client.post("/api/run", headers=s.as_("admin")))
        await begun(api)
        api.tasks.fail(api.begun[0], code, "pool local has 3 GiB left")
        async with await asking as answer:
            body = await answer.json()
            assert (answer.status, body["code"], body["task"]) == (status, code, "task-1")
            assert body["error"] == "pool local has 3 GiB left"


async def test_who_prefers_not_to_wait_gets_202_and_where_to_look() -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks) as s:
        headers = {**s.as_("admin"), "Prefer": "respond-async"}
        async with s.client.post("/api/run", headers=headers) as answer:
            assert (answer.status, answer.headers["Location"]) == (202, "/api/tasks/task-1")
            assert (await answer.json())["state"] == "queued"
        assert s.audit.entries[0].status == 202


async def test_a_wait_that_is_too_short_ends_in_202_and_leaves_the_task_alone() -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks) as s:
        headers = {**s.as_("admin"), "Prefer": "respond-async, wait=1"}
        async with s.client.post("/api/run", headers=headers) as answer:
            assert answer.status == 202
        api.tasks.complete(api.begun[0])
        assert (await api.tasks.wait(api.begun[0].id)).state == "completed"


async def test_a_server_that_stops_tells_those_who_wait_for_a_task_where_it_goes_on() -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks, settings=HttpSettings(shutdown_s=0.2)) as s:
        asking = asyncio.ensure_future(s.client.post("/api/run", headers=s.as_("admin")))
        await begun(api)
        await s.server.stop()
        async with await asking as answer:
            assert answer.status == 503
            assert (await answer.json())["task"] == "task-1"


async def test_a_repeat_with_the_same_key_gets_the_same_answer_and_does_nothing() -> None:
    api = Api()
    async with serving(api.routes()) as s:
        for replayed in (None, "true", "true"):
            headers = {**s.as_("admin"), "Idempotency-Key": "k-1"}
            async with s.client.post("/api/make", headers=headers) as answer:
                assert (answer.status, await answer.json()) == (201, {"made": 1})
                assert answer.headers.get("Idempotency-Replayed") == replayed
                assert answer.content_type == "application/json"
        async with s.client.post("/api/make", headers={**s.as_("admin"), "Idempotency-Key": "k-2"}) as answer:
            assert await answer.json() == {"made": 2}
        async with s.client.post("/api/make", headers={**s.as_("operator"), "Idempotency-Key": "k-1"}) as answer:
            assert await answer.json() == {"made": 3}


async def test_the_same_key_for_another_request_is_422() -> None:
    api = Api()
    async with serving(api.routes()) as s:
        headers = {**s.as_("admin"), "Idempotency-Key": "k-1"}
        async with s.client.post("/api/make", headers=headers):
            pass
        async with s.client.post("/api/make", json={}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (422, "unprocessable")


async def test_a_repeat_while_the_first_still_runs_is_409() -> None:
    api = Api()
    api.gate = asyncio.Event()
    async with serving(api.routes()) as s:
        headers = {**s.as_("admin"), "Idempotency-Key": "k-1"}
        first = asyncio.ensure_future(s.client.post("/api/make", headers=headers))
        await api.arrived.wait()
        async with s.client.post("/api/make", headers=headers) as answer:
            assert answer.status == 409
        api.gate.set()
        async with await first as answer:
            assert answer.status == 201


async def test_a_call_that_failed_is_tried_again_under_its_key() -> None:
    api = Api()
    api.fails = 1
    async with serving(api.routes()) as s:
        headers = {**s.as_("admin"), "Idempotency-Key": "k-1"}
        statuses = []
        for _ in range(3):
            async with s.client.post("/api/make", headers=headers) as answer:
                statuses.append(answer.status)
    assert statuses == [409, 201, 201]
    assert api.made == 1


async def test_a_repeat_of_a_task_waits_for_the_first_ones_task() -> None:
    api = Api()
    async with serving(api.routes(), tasks=api.tasks) as s:
        headers = {**s.as_("admin"), "Idempotency-Key": "k-1"}
        first = asyncio.ensure_future(s.client.post("/api/run", headers=headers))
        await begun(api)
        async with s.client.post("/api/run", headers={**headers, "Prefer": "respond-async"}) as answer:
            assert (answer.status, answer.headers["Location"]) == (202, "/api/tasks/task-1")
        api.tasks.complete(api.begun[0], {"id": "vm-1"})
        async with await first as answer:
            assert await answer.json() == {"id": "vm-1"}
        async with s.client.post("/api/run", headers=headers) as answer:
            assert (answer.status, await answer.json()) == (201, {"id": "vm-1"})
            assert answer.headers["Idempotency-Replayed"] == "true"
    assert len(api.begun) == 1


async def test_a_secret_that_is_shown_once_is_not_kept_for_repeats() -> None:
    api = Api()
    store = MemoryStore(FakeClock())
    async with serving(api.routes(), store=store) as s:
        headers = {**s.as_("admin"), "Idempotency-Key": "k-1"}
        async with s.client.post("/api/tokens", headers=headers) as answer:
            assert await answer.json() == {"made": 1}
        async with s.client.post("/api/tokens", headers=headers) as answer:
            assert answer.status == 409
    entries, _ = await store.list("/hx/v1/idempotency/")
    assert len(entries) == 1
    assert b"made" not in entries[0].value


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "schl\xfcssel"])
async def test_a_key_that_is_none_is_400(key: str) -> None:
    api = Api()
    async with (
        serving(api.routes()) as s,
        s.client.post("/api/make", headers={**s.as_("admin"), "Idempotency-Key": key}) as answer,
    ):
        assert answer.status == 400
    assert api.made == 0


async def test_answers_outlive_the_agent_for_a_day_and_then_go() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    first = StoredAnswers(store, clock, "a")
    assert await first.begin("k", ADMIN, "f") is None
    await first.finish("k", ADMIN, Remembered(status=201, body=b"{}"))
    second = StoredAnswers(store, clock, "b")
    assert await second.begin("k", ADMIN, "f") == Remembered(status=201, body=b"{}")
    clock.advance(24 * 3600)
    assert await second.begin("other", ADMIN, "f") is None
    entries, _ = await store.list("/hx/v1/idempotency/")
    assert len(entries) == 1


async def test_a_call_that_died_with_the_agent_is_done_again_but_another_nodes_still_runs() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    assert await StoredAnswers(store, clock, "a").begin("k", ADMIN, "f") is None
    with pytest.raises(Conflict):
        await StoredAnswers(store, clock, "x", node="n2").begin("k", ADMIN, "f")
    again = StoredAnswers(store, clock, "b")
    assert await again.begin("k", ADMIN, "f") is None
    with pytest.raises(Conflict):
        await again.begin("k", ADMIN, "f")
    with pytest.raises(Unprocessable):
        await again.begin("k", ADMIN, "another")
