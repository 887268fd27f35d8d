"""Signing in and out."""

import asyncio
import json
import socket
import stat

from tests.support.stub_agent import StubAgent

SESSION = {"token": "a-session", "username": "admin", "expires": 1900000000}
UNSET = {"HORCRUX_TOKEN": ""}


async def test_a_session_is_kept_for_the_next_command_in_a_file_that_only_its_owner_reads(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/login", SESSION)
    agent.answer("GET /api/auth/me", {"username": "admin", "role": "admin"})
    run = await agent.horcrux("login", environment={**UNSET, "HORCRUX_PASSWORD": "a long secret"})
    assert run.code == 0, run.err
    assert agent.find("POST /api/auth/login").json == {"username": "admin", "password": "a long secret"}
    kept = agent.home / ".config/horcrux/sessions.json"
    modes = await asyncio.to_thread(lambda: [stat.S_IMODE(path.stat().st_mode) for path in (kept, kept.parent)])
    assert modes == [0o600, 0o700]
    # Also without HORCRUX_URL: the agent one signed in to last.
    assert (await agent.horcrux("whoami", environment={**UNSET, "HORCRUX_URL": ""})).code == 0
    assert agent.find("GET /api/auth/me").headers["Authorization"] == "Bearer a-session"


async def test_the_password_comes_from_standard_input_and_its_trailing_newline_is_not_part_of_it(
    agent: StubAgent,
) -> None:
    agent.answer("POST /api/auth/login", SESSION)
    run = await agent.horcrux("login", "eve", "--password-stdin", stdin=b" spaced out \n", environment=UNSET)
    assert run.code == 0, run.err
    assert agent.find("POST /api/auth/login").json == {"username": "eve", "password": " spaced out "}


async def test_without_a_password_and_without_a_terminal_it_is_a_usage_error(agent: StubAgent) -> None:
    run = await agent.horcrux("login", environment=UNSET)
    assert run.code == 2
    assert "HORCRUX_PASSWORD" in run.err
    assert agent.asked == []


async def test_a_wrong_password_is_denied_with_the_agents_sentence(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/login", {"error": "user name or password is wrong", "code": "unauthenticated"}, 401)
    run = await agent.horcrux("login", environment={"HORCRUX_PASSWORD": "wrong"})
    assert run.code == 4
    assert "user name or password is wrong" in run.err
    assert "wrong" not in run.out


async def test_logging_out_forgets_the_session_also_when_the_agent_had_ended_it(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/login", SESSION)
    agent.answer("POST /api/auth/logout", {"error": "the session has ended", "code": "unauthenticated"}, 401)
    await agent.horcrux("login", environment={**UNSET, "HORCRUX_PASSWORD": "x"})
    run = await agent.horcrux("logout", environment=UNSET)
    assert run.code == 0, run.err
    kept = await asyncio.to_thread((agent.home / ".config/horcrux/sessions.json").read_text)
    assert json.loads(kept) == {"last": "", "sessions": {}}


async def test_an_agent_that_is_not_there_is_unreachable_with_a_next_step(agent: StubAgent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    run = await agent.horcrux("vm", "list", "--url", f"http://127.0.0.1:{port}")
    assert run.code == 6
    assert "cannot be reached" in run.err
    assert "next:" in run.err


async def test_an_address_that_is_none_is_a_usage_error(agent: StubAgent) -> None:
    run = await agent.horcrux("vm", "list", "--url", "not-an-address")
    assert run.code == 2


async def test_the_set_up_link_makes_the_first_administrator_and_signs_in(agent: StubAgent) -> None:
    agent.answer("POST /api/auth/setup", SESSION)
    link = f"{agent.url}/#setup=one-use"
    run = await agent.horcrux("setup", link, environment={**UNSET, "HORCRUX_PASSWORD": "a long secret"})
    assert run.code == 0, run.err
    assert agent.find("POST /api/auth/setup").json == {
        "secret": "one-use",
        "username": "admin",
        "password": "a long secret",
    }
    assert (await agent.horcrux("setup", "http://h/", environment=UNSET)).code == 2
