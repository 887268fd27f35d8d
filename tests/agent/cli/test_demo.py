"""`horcrux demo` on a stub agent; on a real one it is tried with the other end-to-end tests."""

import hashlib
import os
from pathlib import Path

import pytest
from aiohttp import web

from agent.demo.image import SENTENCE
from tests.support.demo_image import demo_image
from tests.support.stub_agent import StubAgent

HELLO = {"id": "hello", "status": "stopped"}


def speak(agent: StubAgent, *logs: str) -> None:
    """What the serial log holds, look after look."""
    for log in logs:

        async def reply(_request: web.Request, log: str = log) -> web.Response:
            return web.Response(text=log)

        agent.handle("GET /api/vms/hello/serial", reply)


async def test_a_vm_that_is_there_is_started_and_its_new_words_are_awaited_not_its_old_ones(agent: StubAgent) -> None:
    agent.answer("GET /api/auth/me", {"username": "admin"})
    agent.answer("GET /api/vms/hello", HELLO)
    agent.answer("POST /api/vms/hello/start", HELLO)
    old = f"{SENTENCE}\r\ngoodbye\r\n"
    speak(agent, old, old, f"{old}SYSLINUX", f"{old}{SENTENCE}\r\n")
    run = await agent.horcrux("demo")
    assert run.code == 0, run.err
    assert run.out == f"hello: {SENTENCE}\n"
    assert "VM hello is there already: stopped" in run.err
    assert f"{agent.url}/vms/hello/console" in run.err
    assert "horcrux vm console hello" in run.err
    assert [asked.path for asked in agent.asked].count("/api/vms/hello/serial") == 4


async def test_a_vm_that_runs_and_has_spoken_is_not_started_again(agent: StubAgent) -> None:
    agent.answer("GET /api/auth/me", {"username": "admin"})
    agent.answer("GET /api/vms/hello", {**HELLO, "status": "running"})
    speak(agent, f"{SENTENCE}\r\n")
    run = await agent.horcrux("demo", "-o", "json")
    assert run.code == 0, run.err
    assert isinstance(run.json, dict)
    assert run.json["said"] == SENTENCE
    assert "POST" not in {asked.method for asked in agent.asked}


async def test_a_guest_that_stays_silent_is_a_failure_that_says_where_to_look(agent: StubAgent) -> None:
    agent.answer("GET /api/auth/me", {"username": "admin"})
    agent.answer("GET /api/vms/hello", HELLO)
    agent.answer("POST /api/vms/hello/start", HELLO)
    speak(agent, "No bootable device")
    run = await agent.horcrux("demo", "--timeout", "1")
    assert run.code == 1
    assert "the guest said nothing within 1 s" in run.err
    assert "horcrux vm serial-log hello" in run.err


async def test_who_is_not_signed_in_is_told_so_before_anything_is_built(agent: StubAgent) -> None:
    agent.answer("GET /api/auth/me", {"error": "sign in first", "code": "unauthenticated"}, 401)
    run = await agent.horcrux("demo")
    assert (run.code, "horcrux login" in run.err) == (4, True)
    assert len(agent.asked) == 1


@pytest.fixture
def built() -> tuple[Path, str]:
    """The image and its checksum."""
    path = demo_image()
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


CACHE = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "") or str(Path.home() / ".cache")}


@pytest.mark.libvirt
async def test_from_nothing_the_image_is_sent_and_the_vm_made_of_it(agent: StubAgent, built: tuple[Path, str]) -> None:
    agent.answer("GET /api/auth/me", {"username": "admin"})
    agent.answer("GET /api/vms/hello", {"error": "no VM hello", "code": "not_found"}, 404)
    agent.answer("GET /api/vms/hello", HELLO)
    agent.answer("GET /api/storage/local/images", [{"name": "hello.qcow2", "sha256": "of another time"}])
    agent.answer("DELETE /api/storage/local/images/hello.qcow2", None, 204)
    agent.answer("PUT /api/storage/local/images/hello.qcow2", {"name": "hello.qcow2"}, 201)
    agent.answer("POST /api/vms", HELLO, 201)
    agent.answer("POST /api/vms/hello/start", HELLO)
    speak(agent, "", "", f"{SENTENCE}\r\n")
    run = await agent.horcrux("demo", environment=CACHE)
    assert run.code == 0, run.err
    sent = agent.find("PUT /api/storage/local/images/hello.qcow2")
    assert hashlib.sha256(sent.body).hexdigest() == sent.query["sha256"] == built[1]
    made = agent.find("POST /api/vms").json
    assert isinstance(made, dict)
    assert (made["id"], made["disks"]) == ("hello", [{"storage_pool": "local", "image": "hello.qcow2"}])


@pytest.mark.libvirt
async def test_an_image_that_is_in_the_pool_is_not_sent_again(agent: StubAgent, built: tuple[Path, str]) -> None:
    agent.answer("GET /api/auth/me", {"username": "admin"})
    agent.answer("GET /api/vms/hello", {"error": "no VM hello", "code": "not_found"}, 404)
    agent.answer("GET /api/vms/hello", HELLO)
    agent.answer("GET /api/storage/local/images", [{"name": "hello.qcow2", "sha256": built[1]}])
    agent.answer("POST /api/vms", HELLO, 201)
    agent.answer("POST /api/vms/hello/start", HELLO)
    speak(agent, "", "", f"{SENTENCE}\r\n")
    run = await agent.horcrux("demo", environment=CACHE)
    assert run.code == 0, run.err
    assert not {"PUT", "DELETE"} & {asked.method for asked in agent.asked}
