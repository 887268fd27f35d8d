"""Power verbs, what they refuse, and how they wait for each other, on a whole node."""

import asyncio
from collections.abc import Iterator

import pytest

from horcrux.ids import VmId
from tests.support.api import Api
from tests.support.node import FakeNode
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def stubborn(shared_node: FakeNode) -> Iterator[None]:
    """Guests do not do what they are asked."""
    shared_node.hypervisor.is_obedient = False
    yield
    shared_node.hypervisor.is_obedient = True


async def test_starting_what_runs_changes_nothing_and_is_200(api: Api) -> None:
    await api.make("twice", start=True)
    before = await api.get("/api/vms/twice")
    assert (await api.post("/api/vms/twice/start"))["status"] == "running"
    assert await api.get("/api/vms/twice") == before


@pytest.mark.parametrize(
    ("before", "verb", "after"),
    [
        ("stopped", "start", "running"),
        ("running", "stop", "stopped"),
        ("paused", "stop", "stopped"),
        ("running", "shutdown", "stopped"),
        ("running", "reboot", "running"),
        ("running", "reset", "running"),
        ("running", "pause", "paused"),
        ("paused", "resume", "running"),
        ("stopped", "stop", None),
        ("stopped", "shutdown", None),
        ("stopped", "reboot", None),
        ("stopped", "reset", None),
        ("stopped", "pause", None),
        ("stopped", "resume", None),
        ("running", "resume", None),
        ("paused", "start", None),
        ("paused", "shutdown", None),
        ("paused", "reboot", None),
        ("paused", "reset", None),
        ("paused", "pause", None),
    ],
)
async def test_each_verb_leads_where_it_says_or_is_409_with_the_state(
    api: Api, before: str, verb: str, after: str | None
) -> None:
    vm_id = f"{before}-{verb}"
    await api.make(vm_id, start=before != "stopped")
    if before == "paused":
        await api.post(f"/api/vms/{vm_id}/pause")
    body: dict[str, object] | None = {} if verb == "shutdown" else None
    allowed = (await api.get(f"/api/vms/{vm_id}"))["allowed_actions"][verb]
    assert allowed["allowed"] is (after is not None)
    answer = await api.call("POST", f"/api/vms/{vm_id}/{verb}", body)
    if after is None:
        assert answer.status == 409
        assert (answer.json["code"], answer.json["state"]) == ("conflict", before)
        assert allowed["reason"] in answer.json["error"]
    else:
        assert answer.status == 200, answer.text
        assert answer.json["status"] == after
        assert answer.json["operation"] is None
        assert answer.headers["X-Horcrux-Task"]
    assert (await api.get(f"/api/vms/{vm_id}"))["status"] == (after or before)


@pytest.mark.parametrize("verb", ["start", "stop", "shutdown", "reboot", "reset", "pause", "resume"])
async def test_a_vm_that_does_not_exist_is_404(api: Api, verb: str) -> None:
    refused = await api.post(f"/api/vms/nobody/{verb}", {} if verb == "shutdown" else None, 404)
    assert refused["code"] == "not_found"


@pytest.mark.usefixtures("stubborn")
async def test_a_guest_that_does_not_shut_down_in_time_is_told_so_and_runs_on(api: Api) -> None:
    await api.make("stubborn", start=True)
    refused = await api.post("/api/vms/stubborn/shutdown", {"timeout_s": 1}, 409)
    assert "did not shut down within 1 s" in refused["error"]
    assert "stop it" in refused["error"]
    vm = await api.get("/api/vms/stubborn")
    assert (vm["status"], vm["operation"]) == ("running", None)


@pytest.mark.usefixtures("stubborn")
async def test_with_force_the_plug_is_pulled_after_the_time_limit_and_a_warning_says_so(api: Api) -> None:
    await api.make("forced", start=True)
    answer = await api.call("POST", "/api/vms/forced/shutdown", {"timeout_s": 1, "force": True})
    assert (answer.status, answer.json["status"]) == (200, "stopped")
    task = await api.get(f"/api/tasks/{answer.headers['X-Horcrux-Task']}")
    assert task["warnings"] == ["the guest did not shut down within 1 s: the plug was pulled"]


@pytest.mark.parametrize("timeout_s", [0, -1, 3601, "1", 1.5])
async def test_a_time_limit_out_of_range_is_400_and_named(api: Api, timeout_s: object) -> None:
    await api.make(f"limit{timeout_s}".replace(".", "-"), start=True)
    refused = await api.post(
        f"/api/vms/limit{timeout_s}".replace(".", "-") + "/shutdown", {"timeout_s": timeout_s}, 400
    )
    assert refused["fields"][0]["field"] == "timeout_s"


async def test_stopping_is_shown_while_the_guest_shuts_down(api: Api, shared_node: FakeNode, stubborn: None) -> None:
    await api.make("going", start=True)
    task = await api.begin("POST", "/api/vms/going/shutdown", {"timeout_s": 60})
    vm = await api.until_status("going", "stopping")
    assert vm["operation"] == task
    assert next(row for row in await api.get("/api/vms") if row["id"] == "going")["status"] == "stopping"
    shared_node.hypervisor.outside_stop(VmId("going"))  # the guest does it at last
    assert (await api.ended(task))["state"] == "completed"
    vm = await api.get("/api/vms/going")
    assert (vm["status"], vm["operation"]) == ("stopped", None)


@pytest.mark.usefixtures("stubborn")
async def test_the_plug_may_be_pulled_while_a_shutdown_waits(api: Api) -> None:
    await api.make("hurry", start=True)
    waiting = await api.begin("POST", "/api/vms/hurry/shutdown", {"timeout_s": 600})
    vm = await api.until_status("hurry", "stopping")
    assert vm["allowed_actions"]["stop"] == {"allowed": True, "reason": ""}
    assert vm["allowed_actions"]["pause"]["allowed"] is False
    assert (await api.post("/api/vms/hurry/stop"))["status"] == "stopped"
    overruled = await api.ended(waiting)
    assert (overruled["state"], overruled["error"]) == ("cancelled", "cancelled by admin")


@pytest.mark.usefixtures("stubborn")
async def test_a_busy_vm_is_409_and_the_task_in_the_way_is_named(api: Api) -> None:
    await api.make("busy", start=True)
    holder = await api.begin("POST", "/api/vms/busy/shutdown", {"timeout_s": 60})
    since = int((await api.get(f"/api/tasks/{holder}"))["created_at"])
    for method, path, body in (
        ("POST", "/api/vms/busy/shutdown", {"timeout_s": 5}),
        ("PATCH", "/api/vms/busy", {"notes": "x"}),
        ("DELETE", "/api/vms/busy?force=true", None),
    ):
        refused = await api.expect(409, method, path, body)
        assert refused["code"] == "busy", refused
        told = {name: refused[name] for name in ("task", "action", "user", "since")}
        assert told == {"task": holder, "action": "vm.shutdown", "user": "admin", "since": since}
        assert holder in refused["error"]
    assert (await api.get("/api/vms/busy"))["allowed_actions"]["update"]["reason"] == f"task {holder} works on it"
    await api.expect(202, "DELETE", f"/api/tasks/{holder}")
    await api.ended(holder)


@pytest.mark.usefixtures("stubborn")
async def test_with_wait_s_a_call_queues_and_is_done_when_its_turn_comes(api: Api) -> None:
    await api.make("patient", start=True)
    holder = await api.begin("POST", "/api/vms/patient/shutdown", {"timeout_s": 60})
    queued = asyncio.create_task(api.call("POST", "/api/vms/patient/pause?wait_s=30"))
    await api.until_queued("patient")
    assert (await api.get("/api/vms/patient"))["operation"] == holder
    await api.expect(202, "DELETE", f"/api/tasks/{holder}")
    done = await queued
    assert (done.status, done.json["status"]) == (200, "paused")


@pytest.mark.usefixtures("stubborn")
async def test_a_turn_that_does_not_come_in_time_is_409_and_names_the_task_in_the_way(api: Api) -> None:
    await api.make("late", start=True)
    holder = await api.begin("POST", "/api/vms/late/shutdown", {"timeout_s": 60})
    refused = await api.post("/api/vms/late/pause?wait_s=1", status=409)
    assert (refused["code"], refused["task"]) == ("busy", holder)
    await api.expect(202, "DELETE", f"/api/tasks/{holder}")
    await api.ended(holder)


async def test_a_call_that_prefers_not_to_wait_is_202_with_where_to_look(api: Api) -> None:
    await api.make("async")
    answer = await api.call("POST", "/api/vms/async/start", headers={"Prefer": "respond-async"})
    assert answer.status == 202
    assert answer.headers["Location"] == f"/api/tasks/{answer.json['id']}"
    task = await api.ended(answer.json["id"])
    assert (task["state"], task["action"], task["target"]) == ("completed", "vm.start", "vm/async")
    assert task["result"]["status"] == "running"


async def test_a_failed_call_tells_what_its_task_tells(api: Api, shared_node: FakeNode) -> None:
    await api.make("broken", disks=[{"size_gb": 1}])
    storage = await api.get("/api/vms/broken")
    await shared_node.remove_volume("local", storage["disks"][0]["volume"])
    failed = await api.post("/api/vms/broken/start", status=404)
    assert "has no volume broken-disk0" in failed["error"]
    task = (await api.get("/api/tasks", params={"target": "vm/broken", "limit": 1}))[0]
    assert (task["state"], task["error"], task["error_code"]) == ("failed", failed["error"], "not_found")
    assert (await api.get(f"/api/tasks/{task['id']}"))["error_details"] == {
        "kind": "volume",
        "id": "broken-disk0",
        "pool": "local",
    }
    assert (failed["pool"], failed["kind"], failed["id"]) == ("local", "volume", "broken-disk0")


async def test_a_crash_and_a_stop_from_outside_are_shown_and_such_a_vm_starts_again(
    api: Api, shared_node: FakeNode
) -> None:
    await api.make("frail", start=True)
    shared_node.hypervisor.crash(VmId("frail"))
    assert (await api.until_status("frail", "crashed"))["status_reason"] == "crashed"
    assert (await api.post("/api/vms/frail/start"))["status"] == "running"
    shared_node.hypervisor.outside_stop(VmId("frail"))
    assert (await api.until_status("frail", "stopped"))["status_reason"] == "destroyed"
    shared_node.hypervisor.outside_undefine(VmId("frail"))
    assert (await api.post("/api/vms/frail/start"))["status"] == "running", "it is defined anew from its document"


async def test_a_lost_hypervisor_makes_states_unknown_and_a_found_one_right_again(
    api: Api, shared_node: FakeNode
) -> None:
    await api.make("lost", disks=[{"size_gb": 1}], start=True)
    shared_node.hypervisor.lose()
    try:
        vm = await api.until_status("lost", "unknown")
        assert not any(action["allowed"] for action in vm["allowed_actions"].values())
        assert (await api.post("/api/vms/lost/stop", status=409))["state"] == "unknown"
        assert (await api.post("/api/vms", {"id": "never"}, 502))["code"] == "unreachable"
        await api.get("/api/vms/never", 404)
        assert (await api.get("/healthz"))["ok"] is True
    finally:
        shared_node.hypervisor.come_back()
    await api.until_status("lost", "running")
    assert (await api.post("/api/vms/lost/stop"))["status"] == "stopped"


async def test_what_could_not_be_undone_while_the_hypervisor_was_lost_is_undone_when_it_is_back(
    api: Api, shared_node: FakeNode
) -> None:
    await api.make("half", disks=[{"size_gb": 1}])
    shared_node.hypervisor.lose_at_next_act()
    try:
        failed = await api.expect(502, "DELETE", "/api/vms/half")
        assert failed["code"] == "unreachable"
        assert (await api.get("/api/vms/half"))["status"] == "deleting"
        task = (await api.get("/api/tasks", params={"target": "vm/half", "limit": 1}))[0]
        assert any("could not undo vm.finish_delete" in warning for warning in task["warnings"])
    finally:
        shared_node.hypervisor.come_back()
    await until(lambda: api.call("GET", "/api/vms/half"), lambda answer: answer.status == 404)
    assert "half-disk0" not in {v["name"] for v in await api.get("/api/storage/local/volumes")}
    lines = [line["text"] for line in await api.get(f"/api/tasks/{task['id']}/log")]
    assert lines[-1] == "what was left of it has been undone"


async def test_a_deletion_that_stuck_half_way_can_be_asked_for_again(api: Api, shared_node: FakeNode) -> None:
    await api.make("stuck", disks=[{"size_gb": 1}])
    volume = (await api.get("/api/vms/stuck"))["disks"][0]["volume"]
    with shared_node.broken_deletion(volume):
        await api.expect(503, "DELETE", "/api/vms/stuck")
        vm = await api.get("/api/vms/stuck")
        assert (vm["status"], vm["operation"]) == ("deleting", None)
        assert vm["allowed_actions"]["delete"] == {"allowed": True, "reason": ""}
        assert not vm["allowed_actions"]["start"]["allowed"]
    # The agent itself tries again every few seconds, and may be at it, or be done, by now.
    assert (await api.call("DELETE", "/api/vms/stuck?wait_s=20")).status in {204, 404}
    await api.get("/api/vms/stuck", 404)
    assert volume not in {v["name"] for v in await api.get("/api/storage/local/volumes")}
