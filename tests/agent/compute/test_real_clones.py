"""Clones of the demo's guest on real libvirt and qcow2: they boot, are machines of their own, and leave their base alone."""

import asyncio
import hashlib
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.agent_process import AgentProcess, agent_process
from tests.support.api import Api
from tests.support.demo_image import demo_image
from tests.support.machines import Guest

pytestmark = pytest.mark.libvirt

MARK_SECTOR = 70_000
"""Behind the demo's file system, so that writing there harms no boot."""


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    async with agent_process() as agent:
        yield agent


@pytest.fixture
async def session(agent: AgentProcess) -> AsyncIterator[aiohttp.ClientSession]:
    async with agent.session() as session:
        yield session


@pytest.fixture
async def api(session: aiohttp.ClientSession) -> Api:
    return Api(session)


def volume(agent: AgentProcess, name: str) -> Path:
    return agent.state_dir / "pools" / "local" / f"{name}.qcow2"


async def digest(path: Path) -> str:
    return hashlib.sha256(await asyncio.to_thread(path.read_bytes)).hexdigest()


async def make_golden(api: Api, **order: object) -> None:
    """A VM with the demo's image and room behind it."""
    content = await asyncio.to_thread(lambda: demo_image().read_bytes())
    async with api.session.put("/api/storage/local/images/hello.qcow2", data=content) as answer:
        assert answer.status == 201, await answer.text()
    disk = {"image": "hello.qcow2", "size_gb": 0.1}
    await api.make("golden", disks=[disk], **{"memory_mb": 256, "cloud_init": {"user": "ann"}, **order})


async def instance_id(agent: AgentProcess, vm_id: str) -> str:
    """What cloud-init finds in the seed of that VM."""
    seed = await asyncio.to_thread((agent.state_dir / "seeds" / f"{vm_id}.iso").read_bytes)
    found = re.search(rb"instance-id: (\S+)", seed)
    assert found is not None
    return found[1].decode()


async def test_a_linked_clone_boots_and_what_it_writes_does_not_reach_its_base(agent: AgentProcess, api: Api) -> None:
    await make_golden(api)
    await api.post("/api/templates", {"vm_id": "golden"}, 201)
    base = volume(agent, "base-golden-disk0")
    before = await digest(base)
    clone = await api.post("/api/templates/tmpl-golden/clone", {"new_vm_id": "one", "start": True}, 201)
    guest = Guest(agent, "one")
    await guest.until_prompt(1)
    write = f"dd if=/dev/urandom of=/dev/vda bs=512 seek={MARK_SECTOR} count=64 conv=fsync; echo wrote-$((6*7)) >/dev/ttyS0\n"
    await api.post("/api/vms/one/sendkeys", {"text": write})
    await guest.until_said("wrote-42")
    await api.post("/api/vms/one/stop")

    assert await digest(base) == before
    assert "Images are identical" not in await compare(base, volume(agent, "one-disk0"))
    golden = await api.get("/api/vms/golden")
    assert clone["uuid"] != golden["uuid"]
    assert {n["mac"] for n in clone["nics"]}.isdisjoint(n["mac"] for n in golden["nics"])
    assert await instance_id(agent, "one") != await instance_id(agent, "golden")
    assert (await api.delete("/api/templates/tmpl-golden", 409))["used_by"] == ["one"]
    await api.delete("/api/vms/one")
    await api.delete("/api/templates/tmpl-golden")
    assert {v["name"] for v in await api.get("/api/storage/local/volumes")} == {"golden-disk0"}


async def test_a_uefi_guest_that_became_a_template_lives_on_in_its_clones(agent: AgentProcess, api: Api) -> None:
    await make_golden(api, firmware="uefi", start=True)
    await Guest(agent, "golden").until_prompt(1)
    await api.post("/api/vms/golden/stop")
    variables = agent.state_dir / "nvram"
    written = await digest(variables / "golden.fd")
    await api.post("/api/templates", {"vm_id": "golden", "keep_vm": False}, 201)
    assert await asyncio.to_thread(list, variables.glob("*.fd")) == []
    for kind in ("linked", "full"):
        await api.post("/api/templates/tmpl-golden/clone", {"new_vm_id": kind, "clone_type": kind}, 201)
        assert await digest(variables / f"{kind}.fd") == written
    await api.post("/api/vms/full/start")  # QEMU opens the variables that it was given
    await api.post("/api/vms/full/stop")
    assert "Images are identical" in await compare(volume(agent, "base-golden-disk0"), volume(agent, "linked-disk0"))
    for vm_id in ("linked", "full"):
        await api.delete(f"/api/vms/{vm_id}")
    await api.delete("/api/templates/tmpl-golden")
    assert await asyncio.to_thread(list, variables.rglob("*.fd")) == []


async def test_a_full_clone_is_sparse_stands_alone_and_leaves_nothing_when_cancelled(
    agent: AgentProcess, api: Api
) -> None:
    await api.make("golden", disks=[{"size_gb": 4}])
    await fill(volume(agent, "golden-disk0"), mib=300)
    await api.post("/api/templates", {"vm_id": "golden", "keep_vm": False}, 201)
    await api.post("/api/templates/tmpl-golden/clone", {"new_vm_id": "whole", "clone_type": "full"}, 201)
    whole = volume(agent, "whole-disk0")
    assert "Images are identical" in await compare(volume(agent, "base-golden-disk0"), whole)
    assert (await asyncio.to_thread(whole.stat)).st_blocks * 512 < 400 * 1024 * 1024
    assert b"base-golden" not in (await asyncio.to_thread(whole.read_bytes))[:4096]

    task = await api.begin("POST", "/api/templates/tmpl-golden/clone", {"new_vm_id": "cut", "clone_type": "full"})
    async with asyncio.timeout(60):
        while not list(await asyncio.to_thread(list, whole.parent.glob("cut-disk0*"))):
            await asyncio.sleep(0.005)
    await api.delete(f"/api/tasks/{task}", 202)
    ended = await api.ended(task)
    assert ended["state"] == "cancelled"
    await api.get("/api/vms/cut", 404)
    assert await asyncio.to_thread(list, whole.parent.glob("cut-disk0*")) == []


async def fill(path: Path, mib: int) -> None:
    command = ["qemu-io", "-f", "qcow2", "-c", f"write -P 0x5a 0 {mib}M", str(path)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


async def compare(one: Path, other: Path) -> str:
    command = ["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", str(one), str(other)]
    return (await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)).stdout
