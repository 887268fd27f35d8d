"""`horcrux doctor`, `version`, `completion`, and how fast the program is there."""

import asyncio
import sys

import pytest

from tests.support.stub_agent import StubAgent

REPORT = {
    "hostname": "h",
    "system": "Debian",
    "kernel": "6.1",
    "architecture": "x86_64",
    "cpu_model": "AMD",
    "cpu_cores": 2,
    "memory_mb": 1,
    "state_dir_free_gb": 5.0,
    "capabilities": [
        {"name": "libvirt", "ok": True, "needed": True, "detail": "9.0.0", "reason": "", "remedy": ""},
        {"name": "acceleration", "ok": False, "needed": False, "detail": "", "reason": "no vmx", "remedy": "nest it"},
    ],
}


async def test_the_agents_report_is_shown_with_reasons_and_remedies(agent: StubAgent) -> None:
    agent.answer("GET /api/host", REPORT)
    run = await agent.horcrux("doctor")
    assert run.code == 0, run.err
    assert f"source: the agent on {agent.url}" in run.out
    assert "ok     libvirt       9.0.0" in run.out
    assert "no     acceleration  no vmx" in run.out
    assert "-> nest it" in run.out


async def test_it_fails_when_something_is_missing_that_every_vm_needs(agent: StubAgent) -> None:
    lacking = {
        **REPORT,
        "capabilities": [{"name": "libvirt", "ok": False, "needed": True, "reason": "r", "remedy": "x"}],
    }
    agent.answer("GET /api/host", lacking)
    run = await agent.horcrux("doctor", "-o", "json")
    assert (run.code, "libvirt" in run.err) == (1, True)


async def test_without_an_agent_this_host_is_looked_at_and_that_is_said(agent: StubAgent) -> None:
    run = await agent.horcrux(
        "doctor", "--url", "http://127.0.0.1:1", environment={"HORCRUX_LIBVIRT_URI": "test:///default"}
    )
    assert "source: this host, looked at directly" in run.out
    assert "acceleration" in run.out


async def test_a_setting_that_is_wrong_is_named(agent: StubAgent) -> None:
    run = await agent.horcrux("doctor", "--local", environment={"HORCRUX_ACCEL": "warp"})
    assert (run.code, "accel" in run.err) == (2, True)


async def test_the_version_is_told_with_and_without_an_agent(agent: StubAgent) -> None:
    agent.answer("GET /api/version", {"version": "9.9", "api": "0.1.0", "node": "n1"})
    assert (await agent.horcrux("version", "-o", "json")).json == {"client": "0.1.0", "agent": "9.9", "url": agent.url}
    alone = await agent.horcrux("version", "--url", "http://127.0.0.1:1")
    assert (alone.code, "cannot be reached" in alone.out) == (0, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_every_shell_gets_its_completion(agent: StubAgent, shell: str) -> None:
    run = await agent.horcrux("completion", shell)
    assert run.code == 0, run.err
    assert "_HORCRUX_COMPLETE=complete_" in run.out
    assert "horcrux" in run.out


async def test_ids_are_completed_from_the_agents_list(agent: StubAgent) -> None:
    agent.answer("GET /api/vms", [{"id": "web-1"}, {"id": "web-2"}, {"id": "db"}])
    asked = {"_HORCRUX_COMPLETE": "complete_bash", "COMP_WORDS": "horcrux vm start we", "COMP_CWORD": "3"}
    assert (await agent.horcrux(environment=asked)).out.split() == ["web-1", "web-2"]


@pytest.mark.parametrize("words", [["vm", "fly"], ["vm", "start"], ["vm", "list", "-o", "xml"], ["--nonsense"]])
async def test_words_it_does_not_know_are_a_usage_error(agent: StubAgent, words: list[str]) -> None:
    assert (await agent.horcrux(*words)).code == 2


async def test_help_loads_nothing_heavy(agent: StubAgent) -> None:
    code = (
        "import sys\nsys.argv = ['horcrux', '--help']\nfrom agent.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', [m for m in ('aiohttp', 'rich.progress', 'libvirt', 'yaml', 'agent.host.probe') if m in sys.modules])"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().splitlines()[-1] == "LOADED []"
