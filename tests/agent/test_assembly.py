import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from agent.compute.driver import Sighting
from agent.compute.fake import FakeHypervisor
from agent.ground import Drivers, Ground
from agent.loops import LoopFailed
from horcrux.errors import Unavailable
from tests.support.api import Api
from tests.support.node import FakeHost, fake_node


class BrokenWatch(FakeHypervisor):
    """Its watch fails by a fault of ours when it is told to."""

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground.facts)
        self.broken = asyncio.Event()

    async def watch(self) -> AsyncGenerator[Sighting, None]:
        yield Sighting("full")
        await self.broken.wait()
        raise ZeroDivisionError("a fault of ours")


class BrokenHost(FakeHost):
    watch: BrokenWatch

    async def open(self, ground: Ground) -> Drivers:
        self.watch = BrokenWatch(ground)
        return msgspec.structs.replace(await super().open(ground), hypervisor=self.watch)


async def test_a_background_loop_that_fails_ends_the_node_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host = BrokenHost()

    async def serve_until_it_breaks() -> None:
        async with fake_node(tmp_path, host):
            host.watch.broken.set()
            await asyncio.Event().wait()

    with pytest.raises(LoopFailed, match="hypervisor, which runs in the background, failed: a fault of ours"):
        await serve_until_it_breaks()
    assert any(r.levelno == logging.ERROR and r.exc_info and "hypervisor" in r.getMessage() for r in caplog.records)
    async with fake_node(tmp_path) as node, node.session() as session:
        assert await Api(session).get("/api/vms") == [], "what it left can be opened again"


async def test_a_port_that_is_taken_is_said_and_everything_is_closed_again(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            async with fake_node(tmp_path, port=port):
                raise AssertionError("it must not come up")
    async with fake_node(tmp_path, port=port) as node:
        assert node.url.endswith(f":{port}")


async def test_tasks_that_run_when_the_node_ends_are_cut_off_undone_and_told(tmp_path: Path) -> None:
    host = FakeHost()
    async with fake_node(tmp_path, host, stop_patience_s=0) as node, node.session() as session:
        api = Api(session)
        await api.make("a", start=True)
        host.hypervisor.is_obedient = False
        task = await api.begin("POST", "/api/vms/a/shutdown", {"timeout_s": 600})
        await api.until_status("a", "stopping")
    async with fake_node(tmp_path, host) as node, node.session() as session:
        api = Api(session)
        ended = await api.get(f"/api/tasks/{task}")
        assert (ended["state"], ended["error_code"]) == ("failed", "interrupted")
        assert "the agent was stopped" in ended["error"]
        vm = await api.get("/api/vms/a")
        assert (vm["status"], vm["operation"]) == ("running", None)
        assert vm["allowed_actions"]["stop"]["allowed"]


async def test_a_node_that_starts_without_its_hypervisor_serves_and_catches_up_when_it_comes(tmp_path: Path) -> None:
    host = FakeHost()
    async with fake_node(tmp_path, host) as node, node.session() as session:
        await Api(session).make("a", start=True)
        host.hypervisor.lose()
    async with fake_node(tmp_path, host) as node, node.session() as session:
        api = Api(session)
        assert (await api.get("/api/vms"))[0]["status"] == "unknown"
        host.hypervisor.come_back()
        await api.until_status("a", "running")
