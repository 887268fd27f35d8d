"""The agent is killed (-9) at the n-th step of an operation, for every n there is, and started again: what is left is all
or nothing. `HORCRUX_FAIL_AT` ends the agent at a task's step (`agent/faults.py`)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import libvirt
import pytest

from tests.support.agent_process import AgentProcess, agent_process

pytestmark = pytest.mark.libvirt

MOST_STEPS = 60
Act = Callable[[aiohttp.ClientSession], Awaitable[aiohttp.ClientResponse]]


@pytest.fixture(scope="module")
def tiny_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw image of 4 MiB that is no other format."""
    path = tmp_path_factory.mktemp("image") / "tiny.raw"
    path.write_bytes(b"not a partition table" + bytes(4 * 1024 * 1024 - 21))
    return path


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    async with agent_process() as agent:
        yield agent


async def kill_at_every_step(
    agent: AgentProcess,
    action: str,
    act: Act,
    *,
    before: Act | None = None,
    after: Callable[[aiohttp.ClientSession], Awaitable[None]],
) -> int:
    """Kills at step 1, 2, … until the operation comes through; returns how many steps there were. Each life that cleans up
    after the last one is killed at the next step, so neither `before` nor `after` may be the same action."""
    await agent.stop()
    for step in range(1, MOST_STEPS):
        await agent.start(fail_at=f"{action}:{step}")
        if step > 1:
            await check(agent, after)
        async with agent.session() as api:
            if before is not None:
                async with await before(api) as answer:
                    assert answer.status < 300, await answer.text()
        if not await killed_by(agent, act):
            await check(agent, after)
            await agent.stop()
            await agent.start()
            return step - 1
    raise AssertionError(f"{action} has more than {MOST_STEPS} steps")


async def check(agent: AgentProcess, after: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    async with agent.session() as api:
        await nothing_hangs(api)
        await everything_is_whole(api, agent)
        await after(api)
        await everything_is_whole(api, agent)


async def killed_by(agent: AgentProcess, act: Act) -> bool:
    try:
        async with agent.session() as api, await act(api) as answer:
            body = await answer.text()
            assert answer.status < 300, body
            return False
    except aiohttp.ClientError:
        await agent.wait_dead()
        return True


async def nothing_hangs(api: aiohttp.ClientSession) -> None:
    async with api.get("/api/tasks") as answer:
        tasks = await answer.json()
    assert [t for t in tasks if t["state"] in {"queued", "running"}] == []
    for task in tasks:
        assert task["state"] != "failed" or task["error"]


async def everything_is_whole(api: aiohttp.ClientSession, agent: AgentProcess) -> None:
    """Every VM is whole, every volume belongs to one, no half file lies about, libvirt knows the same VMs as we do."""
    async with api.get("/api/vms") as answer:
        vms = await answer.json()
    assert {vm["status"] for vm in vms} <= {"stopped", "running"}
    wanted = set()
    for vm in vms:
        async with api.get(f"/api/vms/{vm['id']}") as answer:
            whole = await answer.json()
        wanted |= {disk["volume"] for disk in whole["disks"]}
        assert whole["operation"] is None
    async with api.get("/api/storage/local/volumes") as answer:
        assert {v["name"] for v in await answer.json()} == wanted
    async with api.get("/api/storage/local/images") as answer:
        images = {i["name"] for i in await answer.json()}
    files, domains = await asyncio.to_thread(on_host, agent)
    assert files == wanted | images
    assert domains == {vm["id"] for vm in vms}


def on_host(agent: AgentProcess) -> tuple[set[str], set[str]]:
    """Files of the pool (without the images' side cars), and the VMs of this node that libvirt knows."""
    pool = agent.state_dir / "pools" / "local"
    files = {p.name.removesuffix(".qcow2") for p in pool.rglob("*") if p.is_file() and p.suffix != ".json"}
    connection = libvirt.open("qemu:///system")
    try:
        prefix = f"hx-{agent.node_id()}-"
        names = [d.name() for d in connection.listAllDomains()]
        return files, {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    finally:
        connection.close()


async def upload(api: aiohttp.ClientSession, image: Path, name: str = "tiny.raw") -> aiohttp.ClientResponse:
    return await api.put(f"/api/storage/local/images/{name}", data=await asyncio.to_thread(image.read_bytes))


async def remove_vm(api: aiohttp.ClientSession) -> None:
    """The VM, if it came to be, can be deleted like any other."""
    async with api.delete("/api/vms/victim", params={"force": "true"}) as answer:
        assert answer.status in {204, 404}, await answer.text()


def create_vm(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
    disks = [{"image": "tiny.raw"}, {"size_gb": 0.1}]
    cloud_init = {"user": "ann", "ssh_keys": []}
    order = {"id": "victim", "memory_mb": 64, "disks": disks, "cloud_init": cloud_init, "start": False}
    return api.post("/api/vms", json=order)


async def nothing(_api: aiohttp.ClientSession) -> None:
    """What was left is fine as it is."""


async def test_create_leaves_a_whole_vm_or_none(agent: AgentProcess, tiny_image: Path) -> None:
    async with agent.session() as api, await upload(api, tiny_image) as answer:
        assert answer.status == 201, await answer.text()
    steps = await kill_at_every_step(agent, "vm.create", create_vm, after=remove_vm)
    assert steps >= 10


async def test_delete_leaves_a_whole_vm_or_none(agent: AgentProcess, tiny_image: Path) -> None:
    async with agent.session() as api, await upload(api, tiny_image) as answer:
        assert answer.status == 201, await answer.text()

    async def create_once(api: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        async with api.get("/api/vms/victim") as answer:
            if answer.status == 200:
                return answer
        return await create_vm(api)

    async def delete(api: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        return await api.delete("/api/vms/victim")

    steps = await kill_at_every_step(agent, "vm.delete", delete, before=create_once, after=nothing)
    assert steps >= 8
    async with agent.session() as api, api.get("/api/vms") as answer:
        assert await answer.json() == []


async def test_start_and_stop_leave_a_vm_that_can_be_used(agent: AgentProcess) -> None:
    order = {"id": "victim", "memory_mb": 64, "disks": [{"size_gb": 0.1}]}
    async with agent.session() as api, api.post("/api/vms", json=order) as answer:
        assert answer.status == 201, await answer.text()

    async def stop_if_running(api: aiohttp.ClientSession) -> None:
        async with api.get("/api/vms/victim") as answer:
            if (await answer.json())["status"] == "running":
                async with api.post("/api/vms/victim/stop") as stopped:
                    assert stopped.status == 200, await stopped.text()

    def start(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.post("/api/vms/victim/start")

    def stop(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.post("/api/vms/victim/stop")

    assert await kill_at_every_step(agent, "vm.start", start, after=stop_if_running) >= 3
    assert await kill_at_every_step(agent, "vm.stop", stop, before=start, after=nothing) >= 3


async def test_create_with_start_leaves_a_whole_vm_or_none(agent: AgentProcess) -> None:
    def create_started(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.post("/api/vms", json={"id": "victim", "memory_mb": 64, "disks": [{"size_gb": 0.1}], "start": True})

    assert await kill_at_every_step(agent, "vm.create", create_started, after=remove_vm) >= 8


async def test_a_forced_delete_leaves_a_whole_vm_or_none(agent: AgentProcess) -> None:
    async def running(api: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        order = {"id": "victim", "memory_mb": 64, "disks": [{"size_gb": 0.1}], "start": True}
        async with api.post("/api/vms", json=order) as made:
            assert made.status in {201, 409}, await made.text()
        return await api.post("/api/vms/victim/start")

    def force(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.delete("/api/vms/victim", params={"force": "true"})

    assert await kill_at_every_step(agent, "vm.delete", force, before=running, after=nothing) >= 6


async def test_a_change_is_done_or_not_and_never_half(agent: AgentProcess) -> None:
    order = {"id": "victim", "memory_mb": 64, "disks": [{"size_gb": 0.1}]}
    async with agent.session() as api, api.post("/api/vms", json=order) as answer:
        assert answer.status == 201, await answer.text()
    wanted = {"memory_mb": 64}

    def change(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        wanted["memory_mb"] += 1
        return api.patch("/api/vms/victim", json=wanted)

    async def agrees(api: aiohttp.ClientSession) -> None:
        """The domain has the memory that the document says."""
        async with api.get("/api/vms/victim") as shown:
            memory_mb = (await shown.json())["memory_mb"]
        assert 64 <= memory_mb <= wanted["memory_mb"]
        assert await asyncio.to_thread(defined_memory_mb, agent) == memory_mb

    assert await kill_at_every_step(agent, "vm.update", change, after=agrees) >= 4
    async with agent.session() as api, api.get("/api/vms/victim") as answer:
        assert (await answer.json())["memory_mb"] == wanted["memory_mb"]


def defined_memory_mb(agent: AgentProcess) -> int:
    connection = libvirt.open("qemu:///system")
    try:
        domain = connection.lookupByName(f"hx-{agent.node_id()}-victim")
        return int(domain.maxMemory()) // 1024
    finally:
        connection.close()


async def test_import_leaves_a_whole_image_or_none(agent: AgentProcess, tiny_image: Path) -> None:
    async def remove(api: aiohttp.ClientSession) -> None:
        async with api.delete("/api/storage/local/images/tiny.raw") as answer:
            assert answer.status in {204, 404}, await answer.text()

    async def put(api: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        return await upload(api, tiny_image)

    assert await kill_at_every_step(agent, "image.upload", put, after=remove) >= 3


async def test_a_guest_goes_on_while_the_agent_is_killed_and_is_found_again(agent: AgentProcess) -> None:
    async with (
        agent.session() as api,
        api.post("/api/vms", json={"id": "victim", "memory_mb": 64, "start": True}) as answer,
    ):
        assert answer.status == 201, await answer.text()
    before = await asyncio.to_thread(guest_pid, agent)
    await agent.kill()
    await agent.start()
    async with agent.session() as api:
        async with api.get("/api/vms/victim") as answer:
            assert (await answer.json())["status"] == "running"
        assert await asyncio.to_thread(guest_pid, agent) == before
        await remove_vm(api)


def guest_pid(agent: AgentProcess) -> str:
    name = f"hx-{agent.node_id()}-victim"
    for comm in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"guest={name}," in comm.read_text():
                return comm.parent.name
    raise AssertionError(f"no process of guest {name}")
