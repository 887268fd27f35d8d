"""Disks of a guest that writes to them: moved between folders, grown, and asked afterwards what they hold."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.agent_process import AgentProcess, agent_process
from tests.support.demo_image import demo_image
from tests.support.machines import Guest, call, destroy_outside, machine

pytestmark = pytest.mark.libvirt

MIB = 1024**2
BEFORE_RECORDING = 8
"""The step of `vm.disk.move` where the guest has been switched, and the document does not say so yet."""


class Writer:
    """The demo's guest with a second disk of 64 MiB, at its shell."""

    def __init__(self, agent: AgentProcess, vm_id: str) -> None:
        self.agent = agent
        self.guest = Guest(agent, vm_id)
        self.id = vm_id

    async def type(self, line: str) -> None:
        """On the guest's keyboard; the shell there runs it."""
        async with self.agent.session() as api:
            await call(api, "POST", f"/api/vms/{self.id}/sendkeys", json={"text": f"{line}\n"})

    async def asked(self, line: str, mark: str) -> str:
        """What the command prints, between `mark`s on the serial line."""
        await self.type(f'echo "{mark}=$({line})." >/dev/ttyS0')
        pattern = re.compile(rf"{mark}=([^$]*?)\.")
        async with asyncio.timeout(60):
            while (found := pattern.search(await self.guest.log())) is None:
                await asyncio.sleep(0.2)
        return found[1].strip()

    async def writes(self) -> None:
        """It fills the second disk with what nobody can guess, over and over, until `quiet`."""
        await self.type(
            "while [ ! -e /stop ]; do dd if=/dev/urandom of=/dev/vdb bs=64k count=1024; echo w >>/w; done 2>/q &"
        )

    async def quiet(self) -> str:
        """MD5 of the second disk, which the guest no longer writes to."""
        await self.type("touch /stop; wait; sync")
        return (await self.asked("md5sum /dev/vdb", "SUM")).split()[0]

    async def disk(self) -> Any:
        async with self.agent.session() as api:
            vm: Any = await call(api, "GET", f"/api/vms/{self.id}")
        assert (vm["status"], vm["pending"]) == ("running", [])
        return vm["disks"][1]

    async def move(self, pool: str, format_: str) -> Any:
        async with self.agent.session() as api:
            body = {"storage_pool": pool, "format": format_}
            vm: Any = await call(api, "POST", f"/api/vms/{self.id}/disks/disk1/move", json=body)
        return vm["disks"][1]

    async def stopped(self) -> None:
        async with self.agent.session() as api:
            await call(api, "POST", f"/api/vms/{self.id}/stop")


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    async with agent_process() as agent:
        image = await asyncio.to_thread(lambda: demo_image().read_bytes())
        async with agent.session() as api:
            await call(api, "PUT", "/api/storage/local/images/demo", data=image)
            order = {"id": "other", "target": str(agent.state_dir.parent / "other")}
            await call(api, "POST", "/api/storage", json=order)
        yield agent


@pytest.fixture
async def writer(agent: AgentProcess) -> AsyncIterator[Writer]:
    disks = [{"image": "demo"}, {"size_gb": 1 / 16}]
    async with machine(agent, id="writer", memory_mb=96, disks=disks, start=True) as vm_id:
        writer = Writer(agent, vm_id)
        await writer.guest.until_prompt(1)
        yield writer


async def md5_of_volume(agent: AgentProcess, disk: Any) -> str:
    """Of what a guest would read."""
    pools = {"local": agent.state_dir / "pools" / "local", "other": agent.state_dir.parent / "other"}
    raw = agent.state_dir.parent / "disk.raw"
    source = pools[disk["storage_pool"]] / f"{disk['volume']}.{disk['format']}"
    words = ["qemu-img", "convert", "-f", disk["format"], "-O", "raw", str(source), str(raw)]
    process = await asyncio.create_subprocess_exec(*words)
    assert await process.wait() == 0

    def digest() -> str:
        return hashlib.md5(Path(raw).read_bytes(), usedforsecurity=False).hexdigest()

    return await asyncio.to_thread(digest)


async def test_a_disk_that_is_written_to_moves_there_and_back_whole(agent: AgentProcess, writer: Writer) -> None:
    await writer.writes()
    assert (await writer.move("other", "raw"))["format"] == "raw"
    assert (await writer.move("local", "qcow2"))["format"] == "qcow2"
    assert (await writer.move("other", "qcow2"))["storage_pool"] == "other"
    disk, seen = await writer.disk(), await writer.quiet()
    assert int(await writer.asked("wc -l </w", "ROUNDS")) >= 1
    await writer.stopped()
    assert await md5_of_volume(agent, disk) == seen


async def test_a_guest_sees_a_grown_disk_at_once(agent: AgentProcess, writer: Writer) -> None:
    before = int(await writer.asked("cat /sys/block/vdb/size", "BEFORE"))
    async with agent.session() as api:
        await call(api, "POST", "/api/vms/writer/disks/disk1/resize", json={"size_gb": 0.25})
    assert before * 512 == 64 * MIB
    assert int(await writer.asked("cat /sys/block/vdb/size", "AFTER")) * 512 == 256 * MIB
    assert (await writer.disk())["size_gb"] == 0.25


async def test_what_a_guest_wrote_after_the_switch_is_kept_though_all_died_before_it_was_recorded(
    agent: AgentProcess, writer: Writer
) -> None:
    """The agent is killed between switch and document; the guest writes on, and then loses its power."""
    loop = "n=$((n+1)); echo $n.. | dd of=/dev/vdb conv=fsync 2>/q; echo N=$n. >/dev/ttyS0; sleep 1"
    await agent.stop()
    await agent.start(fail_at=f"vm.disk.move:{BEFORE_RECORDING}")
    await writer.type(f"n=0; while true; do {loop}; done &")
    with pytest.raises(aiohttp.ClientError):
        await writer.move("other", "raw")
    await agent.wait_dead()
    when_killed = await last_number(agent)
    async with asyncio.timeout(60):
        while (written := await last_number(agent)) < when_killed + 3:
            await asyncio.sleep(0.2)
    await asyncio.to_thread(destroy_outside, agent, writer.id)
    await agent.start()
    assert "which its guest has written to" in await agent.read_log()
    async with agent.session() as api:
        vm: Any = await call(api, "GET", "/api/vms/writer")
    assert (vm["status"], vm["disks"][1]["storage_pool"]) == ("stopped", "other")
    content = agent.state_dir.parent / "other" / f"{vm['disks'][1]['volume']}.raw"
    kept = (await asyncio.to_thread(content.read_bytes))[:20]
    assert int(kept.partition(b".")[0]) >= written


async def last_number(agent: AgentProcess) -> int:
    """What the guest said last that it has written; the agent is not asked."""
    log = await asyncio.to_thread((agent.state_dir / "serial" / "writer.log").read_text, errors="replace")
    return max((int(number) for number in re.findall(r"N=(\d+)\.", log)), default=0)
