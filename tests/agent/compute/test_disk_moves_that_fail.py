"""What happens to a running guest whose disk cannot be moved: nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.agent_process import AgentProcess, agent_process
from tests.support.machines import call, destroy_outside, machine

pytestmark = pytest.mark.libvirt

MIB = 1024**2
FULL = {"storage_pool": "small"}


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    """An agent whose pool `small` has 16 MiB, and an image that takes 40."""
    async with agent_process() as agent:
        small = agent.state_dir.parent / "small"
        await asyncio.to_thread(small.mkdir)
        await run("mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", str(small))
        try:
            async with agent.session() as api:
                await call(api, "POST", "/api/storage", json={"id": "small", "target": str(small)})
                await call(api, "PUT", "/api/storage/local/images/full", data=random.Random(5).randbytes(40 * MIB))
            yield agent
        finally:
            await agent.kill()
            await run("umount", "-l", str(small))


@pytest.fixture
async def victim(agent: AgentProcess) -> AsyncIterator[str]:
    disks = [{"image": "full", "cache": "writeback"}]  # a tmpfs cannot bypass the page cache
    async with machine(agent, id="victim", disks=disks) as vm_id:
        yield vm_id


async def run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0, words


async def refused_move(api: aiohttp.ClientSession) -> tuple[int, Any]:
    async with api.post("/api/vms/victim/disks/disk0/move", json=FULL) as answer:
        return answer.status, await answer.json()


async def is_as_before(agent: AgentProcess, api: aiohttp.ClientSession, status: str) -> None:
    vm: Any = await call(api, "GET", "/api/vms/victim")
    assert (vm["status"], vm["disks"][0]["storage_pool"], vm["operation"], vm["pending"]) == (status, "local", None, [])
    volumes: Any = await call(api, "GET", "/api/storage/small/volumes")
    assert volumes == []
    assert await asyncio.to_thread(lambda: list((agent.state_dir.parent / "small").glob("*.qcow2*"))) == []


@pytest.mark.parametrize("is_running", [False, True], ids=["stopped", "running"])
async def test_a_pool_that_is_too_small_is_told_and_leaves_all_as_it_was(
    agent: AgentProcess, victim: str, is_running: bool
) -> None:
    async with agent.session() as api:
        if is_running:
            await call(api, "POST", f"/api/vms/{victim}/start")
        status, body = await refused_move(api)
        assert (status, body["code"]) == (507, "no_space"), body
        await is_as_before(agent, api, "running" if is_running else "stopped")


async def test_after_a_move_that_failed_the_vm_can_be_used_as_ever(agent: AgentProcess, victim: str) -> None:
    async with agent.session() as api:
        await call(api, "POST", f"/api/vms/{victim}/start")
        await refused_move(api)
        await asyncio.to_thread(destroy_outside, agent, victim)
        await call(api, "POST", f"/api/vms/{victim}/start")
        grown: Any = await call(api, "POST", f"/api/vms/{victim}/disks/disk0/resize", json={"size_gb": 0.125})
        assert grown["status"] == "running"
        larger = str(Path(agent.state_dir.parent, "large"))
        await call(api, "POST", "/api/storage", json={"id": "large", "target": larger})
        moved: Any = await call(
            api, "POST", f"/api/vms/{victim}/disks/disk0/move", json={"storage_pool": "large", "format": "raw"}
        )
        assert (moved["disks"][0]["storage_pool"], moved["disks"][0]["format"]) == ("large", "raw")
