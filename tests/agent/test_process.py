"""The agent as a process of its own on the real libvirt: what others do to it, to its guests and to libvirt."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import libvirt
import pytest

from tests.support.agent_process import AgentProcess, agent_process
from tests.support.api import Api
from tests.support.guests import Relay, virsh
from tests.support.waiting import until

pytestmark = pytest.mark.libvirt

LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"
SOON_S = 2.0
"""What an outside change may take to be seen."""


@asynccontextmanager
async def client(agent: AgentProcess) -> AsyncIterator[Api]:
    async with agent.session() as session:
        yield Api(session)


@asynccontextmanager
async def libvirt_relay(folder: Path) -> AsyncIterator[Relay]:
    """A way to libvirt that can be cut."""
    relay = Relay(LIBVIRT_SOCKET, f"{folder}/libvirt.sock")
    await relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


def uri_of(relay: Relay) -> str:
    return f"qemu+unix:///system?socket={relay.path}"


async def test_what_others_do_to_a_guest_is_seen_within_two_seconds() -> None:
    async with agent_process() as agent, client(agent) as api:
        await api.make("seen", start=True)
        name = f"hx-{await asyncio.to_thread(agent.node_id)}-seen"
        await virsh("suspend", name)
        await api.until_status("seen", "paused", SOON_S)
        await virsh("resume", name)
        await api.until_status("seen", "running", SOON_S)
        await virsh("destroy", name)
        vm = await api.until_status("seen", "stopped", SOON_S)
        assert vm["status_reason"] == "destroyed"
        await virsh("start", name)
        await api.until_status("seen", "running", SOON_S)
        await api.post("/api/vms/seen/stop")
        await virsh("undefine", "--nvram", name)
        assert (await api.post("/api/vms/seen/start"))["status"] == "running"


async def test_a_guest_that_is_not_ours_is_neither_listed_nor_touched() -> None:
    name = f"someone-{secrets.token_hex(4)}"
    xml = f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>"

    def act(do: Callable[[libvirt.virConnect], object]) -> object:
        connection = libvirt.open("qemu:///system")
        try:
            return do(connection)
        finally:
            connection.close()

    await asyncio.to_thread(act, lambda c: c.createXML(xml))
    try:
        async with agent_process() as agent, client(agent) as api:
            assert await api.get("/api/vms") == []
            await api.make(name)
            await api.delete(f"/api/vms/{name}")
            await agent.stop()
            await agent.start()
            assert await api.get("/api/vms") == []
        assert await asyncio.to_thread(act, lambda c: c.lookupByName(name).isActive()) == 1
    finally:
        await asyncio.to_thread(act, lambda c: c.lookupByName(name).destroy())


async def test_without_libvirt_states_are_unknown_and_right_again_when_it_is_back(tmp_path: Path) -> None:
    async with (
        libvirt_relay(tmp_path) as relay,
        agent_process(libvirt_uri=uri_of(relay)) as agent,
        client(agent) as api,
    ):
        await api.make("guest", start=True)
        await relay.stop()
        await api.until_status("guest", "unknown", SOON_S)
        assert (await api.get("/api/vms"))[0]["status"] == "unknown"
        assert (await api.post("/api/vms/guest/stop", status=409))["state"] == "unknown"
        await api.post("/api/vms", {"id": "other"}, 502)
        await relay.start()
        await api.until_status("guest", "running", 15)
        assert (await api.post("/api/vms/guest/stop"))["status"] == "stopped"


async def test_what_a_dead_agent_left_is_undone_once_libvirt_is_back(tmp_path: Path) -> None:
    async with libvirt_relay(tmp_path) as relay, agent_process(libvirt_uri=uri_of(relay)) as agent:
        await agent.stop()
        await agent.start(fail_at="vm.create:6")
        async with client(agent) as api:
            with pytest.raises(aiohttp.ClientError):
                await api.make("half", disks=[{"size_gb": 0.1}])
        await agent.wait_dead()
        await relay.stop()
        await agent.start()
        async with client(agent) as api:
            task = (await api.get("/api/tasks", params={"target": "vm/half"}))[0]
            assert (task["state"], task["error_code"]) == ("failed", "interrupted")
            assert any("could not undo vm.uncreate" in warning for warning in task["warnings"])
            await relay.start()

            async def is_gone() -> bool:
                return (await api.call("GET", "/api/vms/half")).status == 404

            await until(is_gone, timeout_s=30)
            assert await api.get("/api/storage/local/volumes") == []


async def test_a_second_agent_on_the_folder_or_the_port_says_so_and_ends_with_1(tmp_path: Path) -> None:
    async with agent_process() as agent:
        same_folder = AgentProcess(agent.state_dir)
        same_folder.log = tmp_path / "folder.log"
        await same_folder.launch()
        assert await same_folder.wait_dead() == 1
        words = await same_folder.read_log()
        assert "horcrux-agent: another agent runs on the state folder" in words
        assert "Traceback" not in words
        same_port = AgentProcess(tmp_path / "state")
        same_port.log = tmp_path / "port.log"
        await same_port.launch(listen=f"127.0.0.1:{agent.port}")
        try:
            assert await same_port.wait_dead() == 1
            words = await same_port.read_log()
            assert f"horcrux-agent: cannot listen on 127.0.0.1:{agent.port}" in words
            assert "Traceback" not in words
        finally:
            from tests.support.agent_process import remove_node

            await asyncio.to_thread(remove_node, await asyncio.to_thread(same_port.node_id))
        async with client(agent) as api:
            await api.get("/api/vms")


@pytest.fixture(scope="module")
def slow_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw image that takes a while to copy: 256 MiB that no hole and no compression makes smaller."""
    path = tmp_path_factory.mktemp("image") / "slow.raw"
    with path.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(1024 * 1024))
    return path


async def begin_slow_create(api: Api, image: Path) -> str:
    """A creation that copies the image four times, once it is at the first copy."""
    await api.post("/api/storage/local/images", {"name": "slow.raw", "url": image.as_uri()}, 201)
    order = {"id": "slow", "memory_mb": 64, "disks": [{"image": "slow.raw"}] * 4}
    task = await api.begin("POST", "/api/vms", order)

    async def is_copying() -> bool:
        return "making disk0" in str((await api.get(f"/api/tasks/{task}"))["stage"])

    await until(is_copying, timeout_s=10)
    return task


async def nothing_is_left(api: Api, agent: AgentProcess) -> None:
    await api.get("/api/vms/slow", 404)
    assert await api.get("/api/storage/local/volumes") == []
    pool = agent.state_dir / "pools" / "local"
    assert await asyncio.to_thread(lambda: [p.name for p in pool.iterdir() if p.is_file()]) == []


async def test_a_creation_that_is_cancelled_while_an_image_is_copied_leaves_nothing(slow_image: Path) -> None:
    async with agent_process(image_folders=str(slow_image.parent)) as agent, client(agent) as api:
        task = await begin_slow_create(api, slow_image)
        await api.expect(202, "DELETE", f"/api/tasks/{task}")
        ended = await api.ended(task)
        assert ended["state"] == "cancelled"
        assert 0 < ended["progress"] < 1
        await nothing_is_left(api, agent)
        await api.make("slow", disks=[{"size_gb": 0.1}])


async def test_a_stop_of_the_agent_cuts_off_a_creation_undoes_it_and_ends_in_time(slow_image: Path) -> None:
    async with agent_process(image_folders=str(slow_image.parent), stop_patience_s="1") as agent:
        async with client(agent) as api:
            task = await begin_slow_create(api, slow_image)
        async with asyncio.timeout(20):
            await agent.stop()
        assert await agent.wait_dead() == 0
        assert "Traceback" not in await agent.read_log()
        await agent.start()
        async with client(agent) as api:
            ended = await api.get(f"/api/tasks/{task}")
            if ended["state"] == "completed":
                pytest.fail("the copies were faster than the agent's patience: make the image larger")
            assert (ended["state"], ended["error_code"]) == ("failed", "interrupted")
            await nothing_is_left(api, agent)


@pytest.mark.parametrize("architecture", ["aarch64", "riscv64"])
async def test_a_guest_of_a_foreign_architecture_starts(architecture: str) -> None:
    async with agent_process() as agent, client(agent) as api:
        vm = await api.make("far", architecture=architecture, memory_mb=256, disks=[{"size_gb": 0.1}], start=True)
        assert (vm["status"], vm["architecture"]) == ("running", architecture)

        async def has_spoken() -> bool:
            answer = await api.call("GET", "/api/vms/far/serial")
            return answer.status == 200 and len(answer.text) > 20

        await until(has_spoken, timeout_s=60)
        assert (await api.get("/api/vms/far"))["status"] == "running"
        await api.delete("/api/vms/far", params={"force": "true"})
