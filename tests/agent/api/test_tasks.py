"""Tasks as the API shows them, and what is written down of who did what, on a whole node."""

import asyncio
from pathlib import Path

import pytest

from agent.journal import Journal
from horcrux.ids import VmId
from tests.support.agent_process import PASSWORD
from tests.support.api import Api
from tests.support.node import FakeHost, FakeNode, fake_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_task_shows_the_documented_members(api: Api) -> None:
    await api.make("shown")
    task = (await api.get("/api/tasks", params={"target": "vm/shown"}))[0]
    documented = {"id", "action", "target", "node", "state", "progress", "stage", "error", "user"}
    assert documented | {"started_at", "finished_at"} <= set(task)
    assert (task["action"], task["state"], task["progress"], task["user"]) == ("vm.create", "completed", 1.0, "admin")
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]
    assert (task["error"], task["result"]) == (None, None)
    assert (await api.get(f"/api/tasks/{task['id']}"))["result"]["id"] == "shown"


async def test_tasks_are_listed_newest_first_filtered_paged_and_cut_to_fields(api: Api) -> None:
    await api.make("many", start=True)
    for verb in ("pause", "resume", "stop"):
        await api.post(f"/api/vms/many/{verb}")
    await api.post("/api/vms/many/stop", status=409)
    tasks = await api.get("/api/tasks", params={"target": "vm/many"})
    assert [t["action"] for t in tasks] == ["vm.stop", "vm.resume", "vm.pause", "vm.create"]
    page = await api.get("/api/tasks", params={"target": "vm/many", "limit": 2, "after": tasks[0]["id"]})
    assert page == tasks[1:3]
    assert await api.get("/api/tasks", params={"target": "vm/many", "limit": 1, "fields": "id,action"}) == [
        {"id": tasks[0]["id"], "action": "vm.stop"}
    ]
    assert await api.get("/api/tasks", params={"target": "vm/many", "state": "failed"}) == []
    assert await api.get("/api/tasks", params={"target": "vm/many", "user": "nobody"}) == []
    for query, field in (("limit=0", "limit"), ("state=odd", "state"), ("fields=no", "fields"), ("x=1", "x")):
        assert (await api.get(f"/api/tasks?{query}", 400))["fields"][0]["field"] == field


async def test_the_log_of_a_task_tells_its_steps_in_order(api: Api) -> None:
    made = await api.call("POST", "/api/vms", {"id": "log", "disks": [{"size_gb": 1}]})
    lines = await api.get(f"/api/tasks/{made.headers['X-Horcrux-Task']}/log")
    assert [line["text"] for line in lines] == [
        "reserving its id",
        "making disk0",
        "defining it",
        "making it ready",
    ]
    assert sorted(line["at"] for line in lines) == [line["at"] for line in lines]


async def test_unknown_tasks_are_404(api: Api) -> None:
    for method, path in (("GET", "/api/tasks/no"), ("GET", "/api/tasks/no/log"), ("DELETE", "/api/tasks/no")):
        assert (await api.expect(404, method, path))["code"] == "not_found"


async def test_a_cancelled_task_says_who_cancelled_it_and_cannot_be_cancelled_again(
    api: Api, shared_node: FakeNode
) -> None:
    await api.make("cut", start=True)
    shared_node.hypervisor.is_obedient = False
    task = await api.begin("POST", "/api/vms/cut/shutdown", {"timeout_s": 600})
    await api.until_status("cut", "stopping")
    await api.expect(202, "DELETE", f"/api/tasks/{task}")
    shared_node.hypervisor.is_obedient = True
    ended = await api.ended(task)
    assert (ended["state"], ended["error"], ended["error_code"]) == ("cancelled", "cancelled by admin", "canceled")
    assert "over already" in (await api.expect(409, "DELETE", f"/api/tasks/{task}"))["error"]
    assert (await api.get("/api/vms/cut"))["status"] == "running"


async def test_who_waited_for_a_task_that_was_cancelled_is_told_so(api: Api, shared_node: FakeNode) -> None:
    await api.make("told", start=True)
    shared_node.hypervisor.is_obedient = False
    waiting = asyncio.create_task(api.call("POST", "/api/vms/told/shutdown", {"timeout_s": 600}))
    task = (await api.until_status("told", "stopping"))["operation"]
    await api.expect(202, "DELETE", f"/api/tasks/{task}")
    shared_node.hypervisor.is_obedient = True
    answer = await waiting
    assert (answer.status, answer.json["code"], answer.json["task"]) == (499, "canceled", task)


async def test_a_repeat_with_the_same_key_is_answered_and_not_done_again(api: Api) -> None:
    key = {"Idempotency-Key": "create-once"}
    first = await api.call("POST", "/api/vms", {"memory_mb": 64, "tags": ["once"]}, headers=key)
    again = await api.call("POST", "/api/vms", {"memory_mb": 64, "tags": ["once"]}, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(await api.get("/api/vms", params={"tag": "once"})) == 1
    assert (await api.post("/api/vms", {"memory_mb": 65}, 422, headers=key))["code"] == "unprocessable"


async def test_repeats_that_come_while_the_first_still_runs_get_its_answer(api: Api) -> None:
    key = {"Idempotency-Key": "create-at-once"}
    order = {"memory_mb": 64, "tags": ["burst"], "disks": [{"size_gb": 1}]}
    answers = await asyncio.gather(*(api.call("POST", "/api/vms", order, headers=key) for _ in range(5)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({a.json["id"] for a in answers if a.status == 201}) == 1
    assert len(await api.get("/api/vms", params={"tag": "burst"})) == 1


async def test_a_wrong_order_under_a_key_can_be_put_right_under_the_same_key(api: Api) -> None:
    key = {"Idempotency-Key": "fix-me"}
    await api.post("/api/vms", {"memory_mb": 0}, 400, headers=key)
    await api.post("/api/vms", {"memory_mb": 64}, 201, headers=key)


async def test_the_answer_to_a_key_outlives_the_agent(tmp_path: Path) -> None:
    host, key = FakeHost(), {"Idempotency-Key": "k"}
    async with fake_node(tmp_path, host) as node, node.session() as session:
        first = await Api(session).call("POST", "/api/vms", {"memory_mb": 64}, headers=key)
        assert first.status == 201
    async with fake_node(tmp_path, host) as node, node.session() as session:
        api = Api(session)
        again = await api.call("POST", "/api/vms", {"memory_mb": 64}, headers=key)
        assert (again.status, again.json) == (201, first.json)
        assert len(await api.get("/api/vms")) == 1


async def test_what_is_done_or_refused_is_written_down_with_who_asked(tmp_path: Path) -> None:
    async with fake_node(tmp_path) as node:
        async with node.session() as session:
            api = Api(session)
            await api.make("a")
            await api.post("/api/vms/a/stop", status=409)
            await api.post("/api/auth/users", {"name": "vera", "password": PASSWORD, "role": "viewer"}, 201)
            wrong = {"username": "admin", "password": "no" * 10}
            await api.post("/api/auth/login", wrong, 401)
        async with node.session(await node.sign_in("vera")) as session:
            await Api(session).delete("/api/vms/a", 403)
    journal = await Journal.open(tmp_path / "state" / "journal.db")
    rows = [(row.action, row.user, row.status) for row in reversed(await journal.audit(100))]
    entries = await journal.audit(100)
    await journal.aclose()
    assert rows == [
        ("auth.login", "admin", 200),
        ("vm.create", "admin", 201),
        ("vm.stop", "admin", 409),
        ("user.create", "admin", 201),
        ("auth.login", "admin", 401),
        ("auth.login", "vera", 200),
        ("vm.delete", "vera", 403),
    ]
    by_action = {entry.action: entry for entry in entries}
    assert by_action["vm.create"].target == "vm/a"
    assert by_action["vm.create"].address == "127.0.0.1"
    assert by_action["vm.create"].request_id
    assert by_action["vm.stop"].details.startswith("conflict: cannot stop a")
    assert not any(PASSWORD in entry.details for entry in entries)


async def test_marked_vms_start_with_the_host_and_only_then(tmp_path: Path) -> None:
    host = FakeHost()
    async with fake_node(tmp_path, host) as node, node.session() as session:
        api = Api(session)
        await api.make("marked", autostart=True)
        await api.make("unmarked")
        await api.make("broken", autostart=True, disks=[{"size_gb": 1}])
        await node.remove_volume("local", "broken-disk0")
        await boot_is_remembered(tmp_path)
    async with fake_node(tmp_path, host) as node, node.session() as session:
        assert {vm["status"] for vm in await Api(session).get("/api/vms")} == {"stopped"}, (
            "the agent alone was restarted"
        )
    await asyncio.to_thread((tmp_path / "state" / "boot").write_text, "another boot")
    async with fake_node(tmp_path, host) as node, node.session() as session:
        api = Api(session)
        await api.until_status("marked", "running", 5)
        await boot_is_remembered(tmp_path)
        assert {vm["id"]: vm["status"] for vm in await api.get("/api/vms")} == {
            "marked": "running",
            "unmarked": "stopped",
            "broken": "stopped",
        }
        tasks = await api.get("/api/tasks", params={"user": "horcrux"})
        assert {(t["target"], t["state"]) for t in tasks} == {("vm/marked", "completed"), ("vm/broken", "failed")}
        host.hypervisor.outside_stop(VmId("marked"))
        await api.until_status("marked", "stopped")


async def boot_is_remembered(folder: Path) -> None:
    boot = await asyncio.to_thread(Path("/proc/sys/kernel/random/boot_id").read_text)
    file = folder / "state" / "boot"
    async with asyncio.timeout(5):
        while not await asyncio.to_thread(file.exists) or await asyncio.to_thread(file.read_text) != boot.strip():
            await asyncio.sleep(0.01)
