"""VM commands: what is sent, what is shown, how it ends."""

import json

import pytest
import yaml
from aiohttp import web

from tests.support.stub_agent import StubAgent

WEB = {
    "id": "vm-100",
    "name": "web",
    "status": "running",
    "cpu_cores": 4,
    "memory_mb": 8192,
    "architecture": "x86_64",
    "node": "n1",
    "tags": ["blue", "prod"],
}
TASK = {
    "id": "T1",
    "action": "vm.start",
    "target": "vm/vm-100",
    "state": "running",
    "progress": 0.2,
    "stage": "starting",
}
ACCEPTED = {"Location": "/api/tasks/T1"}


async def test_the_list_is_a_table_json_or_yaml_of_the_same_rows(agent: StubAgent) -> None:
    agent.answer("GET /api/vms", [WEB])
    table = await agent.horcrux("vm", "list")
    heading, row = table.out.splitlines()
    assert heading.split() == ["ID", "NAME", "STATUS", "CPU", "MEMORY", "ARCH", "NODE", "TAGS"]
    assert row.split() == ["vm-100", "web", "running", "4", "8192", "MiB", "x86_64", "n1", "blue,prod"]
    assert (await agent.horcrux("vm", "list", "-o", "json")).json == [WEB]
    assert yaml.safe_load((await agent.horcrux("vm", "ls", "-o", "yaml")).out) == [WEB]


async def test_what_a_terminal_would_obey_is_not_printed(agent: StubAgent) -> None:
    agent.answer("GET /api/vms", [{**WEB, "name": "evil\x1b[2Jname"}])
    run = await agent.horcrux("vm", "list")
    assert "\x1b" not in run.out
    assert "evil?[2Jname" in run.out


async def test_creating_sends_what_was_named_and_nothing_else(agent: StubAgent) -> None:
    agent.answer("POST /api/vms", {**WEB, "id": "web"}, 201)
    run = await agent.horcrux(
        "vm", "create", "web", "--cores", "2", "--memory", "2G", "--disk", "20", "--disk", "pool=fast,image=d.qcow2,size=30G",
        "--nic", "bridge=br0,mac=52:54:00:00:00:01", "--firmware", "uefi", "--tag", "a", "--tag", "b", "--cloud-user", "me",
        "--start",
    )  # fmt: skip
    assert run.code == 0, run.err
    asked = agent.find("POST /api/vms")
    assert asked.json == {
        "id": "web",
        "cpu_cores": 2,
        "memory_mb": 2048,
        "disks": [{"size_gb": 20.0}, {"storage_pool": "fast", "image": "d.qcow2", "size_gb": 30.0}],
        "nics": [{"bridge": "br0", "mac": "52:54:00:00:00:01"}],
        "firmware": "uefi",
        "tags": ["a", "b"],
        "cloud_init": {"user": "me"},
        "start": True,
    }
    assert asked.headers["Prefer"].startswith("respond-async")
    assert asked.headers["Idempotency-Key"]
    assert asked.headers["Authorization"] == "Bearer the-token"


@pytest.mark.parametrize(
    "words", [["--memory", "lots"], ["--disk", "siez=3"], ["--nic", "br0"], ["--disk", "size=big"]]
)
async def test_words_that_mean_nothing_are_a_usage_error_before_anything_is_sent(
    agent: StubAgent, words: list[str]
) -> None:
    run = await agent.horcrux("vm", "create", "web", *words)
    assert run.code == 2
    assert words[0] in run.err
    assert agent.asked == []


async def test_a_task_is_followed_on_the_event_stream_to_its_end(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/vm-100/start", TASK, 202, ACCEPTED)
    agent.answer("GET /api/tasks/T1", TASK)
    ended = {**TASK, "state": "completed", "progress": 1.0, "result": WEB}
    agent.events(("task", "T0", {"state": "failed"}), ("task", "T1", {**TASK, "progress": 0.7}), ("task", "T1", ended))
    run = await agent.horcrux("vm", "start", "vm-100", "-o", "json")
    assert run.code == 0, run.err
    assert run.json == WEB
    assert [asked.path for asked in agent.asked].count("/api/tasks/T1") == 1


async def test_a_task_that_ended_before_the_stream_was_open_is_not_waited_for(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/vm-100/start", TASK, 202, ACCEPTED)
    agent.answer("GET /api/tasks/T1", {**TASK, "state": "completed", "result": WEB})
    agent.events()
    run = await agent.horcrux("vm", "start", "vm-100")
    assert run.code == 0, run.err
    assert "VM vm-100 runs" in run.err


async def test_a_stream_that_breaks_off_is_taken_up_where_it_was(agent: StubAgent) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'id: boot.7\nevent: vm\ndata: {"kind": "vm", "id": "x", "data": null}\n\n')
        return response

    agent.answer("POST /api/vms/vm-100/start", TASK, 202, ACCEPTED)
    agent.answer("GET /api/tasks/T1", TASK)
    agent.handle("GET /api/events", broken)
    agent.events(("task", "T1", {**TASK, "state": "completed", "result": WEB}))
    run = await agent.horcrux("vm", "start", "vm-100")
    assert run.code == 0, run.err
    assert agent.find("GET /api/events").headers["Last-Event-ID"] == "boot.7"


async def test_a_task_that_fails_ends_with_its_reason_and_the_code_of_its_error(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/vm-100/start", TASK, 202, ACCEPTED)
    failed = {**TASK, "state": "failed", "error": "vm-100 is running already", "error_code": "conflict"}
    agent.answer("GET /api/tasks/T1", failed)
    agent.events()
    run = await agent.horcrux("vm", "start", "vm-100")
    assert run.code == 5
    assert "vm-100 is running already" in run.err
    assert "horcrux task log T1" in run.err


async def test_without_waiting_the_task_is_printed_and_nothing_is_followed(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/vm-100/start", TASK, 202, ACCEPTED)
    run = await agent.horcrux("vm", "start", "vm-100", "--no-wait")
    assert (run.code, run.out) == (0, "T1\n")
    assert agent.find("POST /api/vms/vm-100/start").headers["Prefer"] == "respond-async"
    assert len(agent.asked) == 1


async def test_a_change_names_the_revision_that_was_read_and_tells_what_is_pending(agent: StubAgent) -> None:
    agent.answer("GET /api/vms/vm-100", WEB, headers={"ETag": '"42"'})
    agent.answer("PATCH /api/vms/vm-100", {**WEB, "pending": [{"field": "cpu_cores", "running": 4, "wanted": 8}]})
    run = await agent.horcrux("vm", "set", "vm-100", "--cores", "8", "--tag", "none", "--cdrom", "none")
    assert run.code == 0, run.err
    asked = agent.find("PATCH /api/vms/vm-100")
    assert asked.headers["If-Match"] == '"42"'
    assert asked.json == {"cpu_cores": 8, "tags": [], "cdrom": None}
    assert "cpu_cores" in run.err


async def test_a_change_that_somebody_else_overtook_is_a_conflict_with_a_next_step(agent: StubAgent) -> None:
    agent.answer("GET /api/vms/vm-100", WEB, headers={"ETag": '"42"'})
    agent.answer("PATCH /api/vms/vm-100", {"error": "vm-100 was changed meanwhile", "code": "stale"}, 412)
    run = await agent.horcrux("vm", "set", "vm-100", "--cores", "8")
    assert run.code == 5
    assert "look at it and try again" in run.err


@pytest.mark.parametrize(("status", "code"), [(400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (500, 1)])
async def test_each_refusal_has_its_exit_code(agent: StubAgent, status: int, code: int) -> None:
    agent.answer("GET /api/vms", [])
    agent.answer("GET /api/vms/x", {"error": "the agent's own sentence"}, status)
    run = await agent.horcrux("vm", "show", "x")
    assert run.code == code
    assert "the agent's own sentence" in run.err
    assert run.out == ""


async def test_deleting_asks_first_and_without_a_terminal_needs_yes(agent: StubAgent) -> None:
    agent.answer("DELETE /api/vms/vm-100", None, 204)
    refused = await agent.horcrux("vm", "delete", "vm-100")
    assert (refused.code, agent.asked) == (2, [])
    assert (await agent.horcrux("vm", "delete", "vm-100", "--yes", "--force")).code == 0
    assert agent.find("DELETE /api/vms/vm-100").query == {"force": "true"}


async def test_an_id_is_quoted_so_that_it_stays_one_segment(agent: StubAgent) -> None:
    run = await agent.horcrux("vm", "show", "../auth/users")
    assert run.code == 3
    assert agent.asked[0].path == "/api/vms/..%2Fauth%2Fusers"


async def test_shutdown_carries_its_time_limit_and_how_long_to_queue(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/vm-100/shutdown", WEB)
    await agent.horcrux("vm", "shutdown", "vm-100", "--timeout", "5", "--force", "--queue", "9")
    asked = agent.find("POST /api/vms/vm-100/shutdown")
    assert (asked.json, dict(asked.query)) == ({"timeout_s": 5, "force": True}, {"wait_s": "9"})


async def test_keys_are_sent_as_text_or_as_one_chord_and_never_as_both(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/v/sendkeys")
    await agent.horcrux("vm", "sendkeys", "v", "ls\n")
    assert agent.find("POST /api/vms/v/sendkeys").json == {"text": "ls\n"}
    await agent.horcrux("vm", "sendkeys", "v", "--keys", "ctrl,alt,delete")
    assert agent.find("POST /api/vms/v/sendkeys").json == {"keys": ["ctrl", "alt", "delete"]}
    assert (await agent.horcrux("vm", "sendkeys", "v")).code == 2


async def test_the_serial_log_is_printed_byte_for_byte(agent: StubAgent) -> None:
    async def log(_request: web.Request) -> web.Response:
        return web.Response(body=b"boot \xff\r\nhello\r\n", content_type="text/plain")

    agent.handle("GET /api/vms/v/serial", log)
    run = await agent.horcrux("vm", "serial-log", "v", "--tail", "100")
    assert agent.find("GET /api/vms/v/serial").query == {"tail": "100"}
    assert run.raw == b"boot \xff\r\nhello\r\n"


async def test_a_watched_list_prints_each_vm_as_it_changes(agent: StubAgent) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        """Two changes, then the end; the next connection is refused."""
        response = web.StreamResponse()
        await response.prepare(request)
        for event in (
            {"kind": "vm", "id": "vm-100", "data": {**WEB, "status": "stopped"}},
            {"kind": "pool", "id": "vm-100"},
        ):
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        return response

    agent.answer("GET /api/vms", [WEB])
    agent.handle("GET /api/events", stream)
    agent.answer("GET /api/events", {"error": "the session has ended", "code": "unauthenticated"}, 401)
    run = await agent.horcrux("vm", "list", "--watch")
    assert run.code == 4
    assert [line.split()[2] for line in run.out.splitlines() if line.startswith("vm-100")] == ["running", "stopped"]


async def test_a_vm_is_found_by_its_name_where_no_id_is_so(agent: StubAgent) -> None:
    agent.answer("GET /api/vms", [WEB, {**WEB, "id": "vm-101", "name": "webby"}])
    agent.answer("POST /api/vms/vm-100/start", WEB)
    run = await agent.horcrux("vm", "start", "web")
    assert run.code == 0, run.err
    assert agent.find("GET /api/vms").query == {"name": "web"}
    assert agent.asked[-1].path == "/api/vms/vm-100/start"


async def test_a_name_that_two_vms_have_is_refused_with_their_ids(agent: StubAgent) -> None:
    agent.answer("GET /api/vms", [WEB, {**WEB, "id": "vm-101"}])
    run = await agent.horcrux("vm", "stop", "web")
    assert (run.code, "vm-100, vm-101" in run.err) == (5, True)


async def test_a_vm_that_is_nowhere_keeps_the_agents_sentence(agent: StubAgent) -> None:
    agent.answer("GET /api/vms", [])
    agent.answer("GET /api/vms/nope", {"error": "VM nope does not exist", "code": "not_found"}, 404)
    run = await agent.horcrux("vm", "show", "nope")
    assert (run.code, "VM nope does not exist" in run.err) == (3, True)
