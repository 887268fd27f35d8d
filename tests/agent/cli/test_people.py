"""Users, tokens, tasks."""

import time

from tests.support.stub_agent import StubAgent

TASK = {
    "id": "T1",
    "action": "vm.start",
    "target": "vm/web",
    "state": "completed",
    "progress": 1.0,
    "user": "admin",
    "started_at": 0,
    "error": None,
}


async def test_a_token_is_printed_alone_so_that_a_script_can_take_it(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/tokens", {"id": "k1", "name": "ci", "token": "hxp_secret"}, 201)
    run = await agent.horcrux("token", "create", "ci", "--scope", "vm.read", "--scope", "vm.power", "--expires", "90d")
    assert (run.code, run.out) == (0, "hxp_secret\n")
    body = agent.find("POST /api/auth/tokens").json
    assert isinstance(body, dict)
    assert (body["name"], body["scopes"]) == ("ci", ["vm.read", "vm.power"])
    assert abs(body["expires_at"] - time.time() - 90 * 86400) < 120


async def test_a_length_of_time_without_a_unit_is_a_usage_error(agent: StubAgent) -> None:
    run = await agent.horcrux("token", "create", "ci", "--expires", "90")
    assert (run.code, agent.asked) == (2, [])


async def test_a_user_is_made_with_a_role_and_the_password_never_on_the_command_line(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/users", {"name": "eve"}, 201)
    run = await agent.horcrux("user", "create", "eve", "--role", "operator", "--password-stdin", stdin=b"long enough\n")
    assert run.code == 0, run.err
    assert agent.find("POST /api/auth/users").json == {"name": "eve", "password": "long enough", "role": "operator"}


async def test_a_user_is_disabled_and_enabled(agent: StubAgent) -> None:
    agent.answer("GET /api/auth/users/eve", {"name": "eve"}, headers={"ETag": '"7"'})
    agent.answer("PATCH /api/auth/users/eve", {"name": "eve"})
    assert (await agent.horcrux("user", "set", "eve", "--disable")).code == 0
    asked = agent.find("PATCH /api/auth/users/eve")
    assert (asked.json, asked.headers["If-Match"]) == ({"disabled": True}, '"7"')
    assert (await agent.horcrux("user", "set", "eve")).code == 2


async def test_ones_own_password_takes_the_old_one_first_and_the_new_session_is_kept(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/password", {"token": "next-session", "username": "eve", "expires": 1900000000})
    agent.answer("GET /api/auth/me", {"username": "eve"})
    run = await agent.horcrux("passwd", "--password-stdin", stdin=b"old\nnew and long\n")
    assert run.code == 0, run.err
    assert agent.find("POST /api/auth/password").json == {"current": "old", "new": "new and long"}
    await agent.horcrux("whoami", environment={"HORCRUX_TOKEN": ""})
    assert agent.find("GET /api/auth/me").headers["Authorization"] == "Bearer next-session"


async def test_tasks_are_listed_logged_cancelled_and_waited_for(agent: StubAgent) -> None:
    agent.answer("GET /api/tasks", [TASK])
    agent.answer(
        "GET /api/tasks/T1", {**TASK, "state": "cancelled", "error": "cancelled by eve", "error_code": "canceled"}
    )
    agent.answer("GET /api/tasks/T1/log", [{"at": 0, "text": "starting"}, {"at": 61, "text": "done"}])
    agent.answer("DELETE /api/tasks/T1", TASK, 202)
    agent.events()
    listed = await agent.horcrux("task", "list", "--state", "completed", "--target", "vm/web")
    assert agent.find("GET /api/tasks").query == {"limit": "50", "state": "completed", "target": "vm/web"}
    assert listed.out.splitlines()[1].split()[:6] == ["T1", "completed", "100%", "vm.start", "vm/web", "admin"]
    log = await agent.horcrux("task", "log", "T1")
    assert log.out == "1970-01-01 00:00:00  starting\n1970-01-01 00:01:01  done\n"
    assert (await agent.horcrux("task", "cancel", "T1")).code == 0
    waited = await agent.horcrux("task", "wait", "T1")
    assert (waited.code, "cancelled by eve" in waited.err) == (1, True)
