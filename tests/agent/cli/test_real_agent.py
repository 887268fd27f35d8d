"""The command line against a real agent and a real guest: from signing in to the guest's own words, and back to nothing."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.demo.image import SENTENCE
from tests.support.agent_process import PASSWORD, agent_process
from tests.support.command_line import Run, run_horcrux

pytestmark = pytest.mark.libvirt

CACHE = os.environ.get("XDG_CACHE_HOME", "") or str(Path.home() / ".cache")
Horcrux = Callable[..., Awaitable[Run]]


async def test_from_signing_in_to_the_guests_own_words_and_back_to_nothing(tmp_path: Path) -> None:
    async with agent_process() as agent:

        async def horcrux(*words: str, code: int = 0, stdin: bytes = b"") -> Run:
            run = await run_horcrux(
                *words, url=agent.url, home=tmp_path, stdin=stdin, environment={"XDG_CACHE_HOME": CACHE}, limit_s=240
            )
            assert run.code == code, f"{words}: {run.code}\n{run.out}\n{run.err}"
            return run

        await horcrux("vm", "list", code=4)
        await horcrux("login", "--password-stdin", stdin=PASSWORD.encode() + b"\n")
        assert (await horcrux("demo")).out == f"hello: {SENTENCE}\n"
        await _look_around(horcrux, agent.url)
        await _change(horcrux)
        await horcrux("vm", "delete", "hello", "--yes")
        assert (await horcrux("vm", "list", "-o", "json")).json == []
        assert (await horcrux("volume", "list", "-o", "json")).json == []
        await horcrux("image", "delete", "hello.qcow2", "--yes")
        await horcrux("logout")
        await horcrux("whoami", code=4)


async def _look_around(horcrux: Horcrux, url: str) -> None:
    """What the demo made is there, the guest answers on its console, and a second demo finds everything done."""
    listed = (await horcrux("vm", "list", "-o", "json")).json
    assert isinstance(listed, list)
    assert [(row["id"], row["status"]) for row in listed] == [("hello", "running")]
    assert f"source: the agent on {url}" in (await horcrux("doctor")).out
    assert SENTENCE in (await horcrux("vm", "serial-log", "hello")).out
    spoken = await horcrux("vm", "console", "hello", stdin=b"echo $((6 * 7))-is-the-answer\n")
    assert "42-is-the-answer" in spoken.out
    assert "there already: running" in (await horcrux("demo")).err


async def _change(horcrux: Horcrux) -> None:
    """Power, pending changes and refusals end as they must."""
    assert "cpu_cores" in (await horcrux("vm", "set", "hello", "--cores", "2")).err
    await horcrux("vm", "pause", "hello")
    await horcrux("vm", "pause", "hello", code=5)
    await horcrux("vm", "resume", "hello")
    await horcrux("vm", "delete", "hello", "--yes", code=5)
    await horcrux("vm", "shutdown", "hello", "--timeout", "60")
    await horcrux("vm", "show", "nope", code=3)
    await horcrux("vm", "create", "x", "--memory", "1", code=2)
    task = (await horcrux("vm", "start", "hello", "--no-wait")).out.strip()
    await horcrux("task", "wait", task)
    assert (await horcrux("task", "show", task, "-o", "json")).out
    await horcrux("vm", "stop", "hello")
