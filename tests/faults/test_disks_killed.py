"""The agent is killed (-9) at every step of moving and growing a disk, with a guest that runs, that does not, and that ends while
nobody looks: the disk is one whole volume with all that was in it; document, definition, guest, pools and quota agree on it."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import aiohttp
import libvirt
import pytest

from tests.faults.test_kill_at_every_step import MOST_STEPS, Act, killed_by, nothing_hangs
from tests.support.agent_process import AgentProcess, agent_process
from tests.support.machines import destroy_outside

pytestmark = pytest.mark.libvirt

MIB = 1024**2
CONTENT = random.Random(7).randbytes(4 * MIB) + bytes(12 * MIB)
DISK = "/api/vms/victim/disks/disk0"


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    """An agent with pools `local` and `other`, and a VM `victim` whose only disk holds CONTENT."""
    async with agent_process() as agent:
        async with agent.session() as api:
            await expect(api.put("/api/storage/local/images/content", data=CONTENT))
            target = str(agent.state_dir.parent / "other")
            await expect(api.post("/api/storage", json={"id": "other", "target": target}))
            await expect(api.post("/api/quotas", json={"user": "admin", "limit_gb": 1000}))
            disks = [{"image": "content"}]
            await expect(api.post("/api/vms", json={"id": "victim", "memory_mb": 64, "disks": disks, "nics": []}))
            await expect(api.delete("/api/storage/local/images/content"))
        yield agent


async def expect(call: Any) -> Any:
    async with call as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json() if answer.content_type == "application/json" and answer.status != 204 else None


async def disk_is_whole(api: aiohttp.ClientSession, agent: AgentProcess, *, is_running: bool) -> dict[str, Any]:
    """The disk as the document has it, once all agree on it."""
    await nothing_hangs(api)
    vm = await expect(api.get("/api/vms/victim"))
    assert (vm["status"] == "running") == is_running
    assert (vm["operation"], vm["pending"]) == (None, [])
    disk: dict[str, Any] = vm["disks"][0]
    rows = {pool: await expect(api.get(f"/api/storage/{pool}/volumes")) for pool in ("local", "other")}
    (volume,) = [(row, pool) for pool, found in rows.items() for row in found]
    assert (volume[1], volume[0]["name"]) == (disk["storage_pool"], disk["volume"])
    assert volume[0]["size_gb"] == disk["size_gb"]
    assert (await expect(api.get("/api/quotas/admin")))["used_bytes"] == volume[0]["capacity_bytes"]
    await asyncio.to_thread(files_agree, agent, disk, volume[0]["capacity_bytes"], is_running)
    return disk


def the_file(agent: AgentProcess) -> Path:
    """The only one in both pools."""
    folders = (agent.state_dir / "pools" / "local", agent.state_dir.parent / "other")
    (file,) = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return file


def files_agree(agent: AgentProcess, disk: dict[str, Any], capacity_bytes: int, is_running: bool) -> None:
    file = the_file(agent)
    assert file.name == f"{disk['volume']}.{disk['format']}"
    connection = libvirt.open("qemu:///system")
    try:
        domain = connection.lookupByName(f"hx-{agent.node_id()}-victim")
        for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
            element = ET.fromstring(domain.XMLDesc(flags)).find("devices/disk[@device='disk']")
            assert element is not None
            assert element.find("mirror") is None
            source = element.find("source")
            assert source is not None
            assert source.get("file") == str(file)
        if is_running:
            assert domain.blockInfo("vda")[0] == capacity_bytes
    finally:
        connection.close()


async def content_is_whole(agent: AgentProcess) -> None:
    """Of the VM, which does not run: its disk begins with CONTENT and holds nothing else."""
    file = await asyncio.to_thread(the_file, agent)
    raw = agent.state_dir.parent / "content.raw"
    words = ["qemu-img", "convert", "-f", file.suffix[1:], "-O", "raw", str(file), str(raw)]
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0
    found = await asyncio.to_thread(Path(raw).read_bytes)
    await asyncio.to_thread(raw.unlink)
    assert hashlib.sha256(found[: len(CONTENT)]).digest() == hashlib.sha256(CONTENT).digest()
    assert not any(found[len(CONTENT) :])


async def move(api: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    """To the pool where it is not."""
    vm = await expect(api.get("/api/vms/victim"))
    pool = "other" if vm["disks"][0]["storage_pool"] == "local" else "local"
    return await api.post(f"{DISK}/move", json={"storage_pool": pool})


async def grow(api: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    """By a quarter of a GiB."""
    vm = await expect(api.get("/api/vms/victim"))
    return await api.post(f"{DISK}/resize", json={"size_gb": vm["disks"][0]["size_gb"] + 0.25})


async def killed_at_every_step(agent: AgentProcess, action: str, act: Act, *, runs: bool, ends: bool = False) -> int:
    """How many steps `act` has; `ends`: the guest ends after each kill, before the agent is back."""
    for step in range(1, MOST_STEPS):
        await agent.stop()
        await agent.start(fail_at=f"{action}:{step}")
        async with agent.session() as api:
            has_ended = ends and step > 1
            await disk_is_whole(api, agent, is_running=runs and not has_ended)
            if has_ended:
                await expect(api.post("/api/vms/victim/start"))
        if await killed_by(agent, act):
            if ends:
                await asyncio.to_thread(destroy_outside, agent, "victim")
            continue
        async with agent.session() as api:
            await disk_is_whole(api, agent, is_running=runs)
            if runs:
                await expect(api.post("/api/vms/victim/stop"))
        await content_is_whole(agent)
        return step - 1
    raise AssertionError(f"{action} has more than {MOST_STEPS} steps")


async def test_moving_the_disk_of_a_stopped_vm_leaves_one_whole_volume(agent: AgentProcess) -> None:
    assert await killed_at_every_step(agent, "vm.disk.move", move, runs=False) >= 8


async def test_moving_the_disk_of_a_running_guest_leaves_one_whole_volume(agent: AgentProcess) -> None:
    async with agent.session() as api:
        await expect(api.post("/api/vms/victim/start"))
    assert await killed_at_every_step(agent, "vm.disk.move", move, runs=True) >= 10


async def test_a_guest_that_ends_before_the_agent_is_back_has_the_right_volume(agent: AgentProcess) -> None:
    async with agent.session() as api:
        await expect(api.post("/api/vms/victim/start"))
    assert await killed_at_every_step(agent, "vm.disk.move", move, runs=True, ends=True) >= 10


@pytest.mark.parametrize("runs", [False, True], ids=["stopped", "running"])
async def test_growing_a_disk_leaves_one_size(agent: AgentProcess, runs: bool) -> None:
    if runs:
        async with agent.session() as api:
            await expect(api.post("/api/vms/victim/start"))
    assert await killed_at_every_step(agent, "vm.disk.resize", grow, runs=runs) >= 6
