"""The serial console in the terminal, over a real websocket; the terminal is a real pseudo-terminal."""

import asyncio
import os
import pty
import sys
from pathlib import Path

from aiohttp import web

from tests.support.stub_agent import StubAgent


def offer_echo(agent: StubAgent, heard: list[bytes]) -> None:
    """A guest that repeats what it hears in capitals."""

    async def serial(request: web.Request) -> web.StreamResponse:
        assert request.query["ticket"] == "one-use"
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"login: ")
        async for message in socket:
            heard.append(message.data)
            await socket.send_bytes(message.data.upper())
        return socket

    # The agent may know itself by a name that the client cannot reach: only the path counts.
    url = "ws://inside.invalid:1/api/console/hello/ws?ticket=one-use"
    agent.answer("POST /api/console/hello/serial", {"ticket": "one-use", "url": url, "port": 1})
    agent.handle("GET /api/console/hello/ws", serial)


async def test_what_is_piped_in_reaches_the_guest_and_its_answer_comes_out(agent: StubAgent) -> None:
    heard: list[bytes] = []
    offer_echo(agent, heard)
    run = await agent.horcrux("vm", "console", "hello", stdin=b"uptime\n")
    assert run.code == 0, run.err
    assert b"".join(heard) == b"uptime\n"
    assert run.raw == b"login: UPTIME\n"


async def test_in_a_terminal_every_key_goes_to_the_guest_until_the_escape(agent: StubAgent, tmp_path: Path) -> None:
    heard: list[bytes] = []
    offer_echo(agent, heard)
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HORCRUX_URL": agent.url, "HORCRUX_TOKEN": "t", "HOME": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent.parent.parent)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.cli.main", "vm", "console", "hello",
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        async with asyncio.timeout(30):
            shown = await asyncio.to_thread(_read_until, ours, b"login: ")
            await asyncio.to_thread(os.write, ours, b"a\x03b")
            shown += await asyncio.to_thread(_read_until, ours, b"A\x03B")
            await asyncio.to_thread(os.write, ours, b"c\x1dd")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        os.close(ours)
    assert b"Ctrl+] ends it" in shown
    assert b"".join(heard) == b"a\x03bc"


def _read_until(descriptor: int, words: bytes) -> bytes:
    shown = b""
    while words not in shown:
        shown += os.read(descriptor, 4096)
    return shown


async def test_a_vm_that_does_not_run_has_no_console(agent: StubAgent) -> None:
    agent.answer(
        "POST /api/console/hello/serial", {"error": "hello is stopped: start it first", "code": "conflict"}, 409
    )
    run = await agent.horcrux("vm", "console", "hello")
    assert (run.code, "hello is stopped" in run.err) == (5, True)


async def test_an_agent_that_closes_the_console_ends_the_command(agent: StubAgent) -> None:
    async def serial(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=4001, message=b"the session has ended")
        return socket

    agent.answer("POST /api/console/hello/serial", {"ticket": "x", "url": "ws://h/api/console/hello/ws?ticket=x"})
    agent.handle("GET /api/console/hello/ws", serial)
    run = await agent.horcrux("vm", "console", "hello")
    assert run.code == 0
    assert "the agent closed the console: the session has ended" in run.err
