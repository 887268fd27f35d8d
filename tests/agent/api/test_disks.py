"""Disks move between pools and grow, over the whole node on the fakes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.compute.fake_blocks import FakeBlockJobs
from horcrux.ids import VmId
from horcrux.units import GIB
from tests.support.api import Api
from tests.support.node import FakeHost, FakeNode, fake_node
from tests.support.waiting import eventually

VM = VmId("vm-1")


class Stage:
    """A node with pools `local` and `other`, and vm-1 with two disks of 1 GiB in `local`."""

    def __init__(self, node: FakeNode, api: Api) -> None:
        self.node = node
        self.api = api

    @property
    def blocks(self) -> FakeBlockJobs:
        assert self.node.host.drivers is not None
        blocks = self.node.host.drivers.blocks
        assert isinstance(blocks, FakeBlockJobs)
        return blocks

    async def start(self) -> None:
        await self.api.post("/api/vms/vm-1/start")

    async def disk(self, name: str = "disk0") -> Any:
        vm = await self.api.get("/api/vms/vm-1")
        assert vm["pending"] == []
        return next(disk for disk in vm["disks"] if disk["name"] == name)

    async def volumes(self, pool: str) -> dict[str, int]:
        rows = await self.api.get(f"/api/storage/{pool}/volumes")
        return {row["name"]: row["capacity_bytes"] for row in rows}

    async def move(self, status: int = 200, **order: object) -> Any:
        return await self.api.post("/api/vms/vm-1/disks/disk0/move", {"storage_pool": "other", **order}, status)

    async def resize(self, size_gb: float, status: int = 200) -> Any:
        return await self.api.post("/api/vms/vm-1/disks/disk0/resize", {"size_gb": size_gb}, status)

    async def begun(self) -> str:
        """A move whose copy never gets ready; the id of its task."""
        self.blocks.looks = 10**9
        task = await self.api.begin("POST", "/api/vms/vm-1/disks/disk0/move", {"storage_pool": "other"})
        await eventually(lambda: self.blocks.has_copy(VM, "disk0"))
        return task

    async def is_as_before(self) -> None:
        """The disk is where it was, nothing is left in the other pool or kept for it."""
        assert (await self.disk())["storage_pool"] == "local"
        assert await self.volumes("other") == {}
        assert await self.volumes("local") == {"vm-1-disk0": GIB, "vm-1-disk1": GIB}
        for quota in await self.api.get("/api/quotas"):
            assert quota["used_gb"] == (2 if quota["pool"] != "other" else 0)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with fake_node(tmp_path) as node, node.session() as session:
        api = Api(session)
        await api.post("/api/storage", {"id": "other", "target": str(tmp_path / "other")}, 201)
        await api.make("vm-1", disks=[{"size_gb": 1}, {"size_gb": 1}])
        yield Stage(node, api)


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_moved_disk_is_in_the_other_pool_and_nowhere_else(stage: Stage, is_running: bool) -> None:
    if is_running:
        await stage.start()
    moved = await stage.move()
    assert (moved["disks"][0]["storage_pool"], moved["disks"][0]["volume"]) == ("other", "vm-1-disk0")
    assert moved["disks"][1]["storage_pool"] == "local"
    assert await stage.volumes("local") == {"vm-1-disk1": GIB}
    assert await stage.volumes("other") == {"vm-1-disk0": GIB}
    assert (await stage.disk())["storage_pool"] == "other"
    assert (await stage.blocks.disk_path(VM, "disk0")).endswith("/other/vm-1-disk0.qcow2")
    await stage.api.post("/api/vms/vm-1/disks/disk0/move", {"storage_pool": "local"})
    assert await stage.volumes("local") == {"vm-1-disk0": GIB, "vm-1-disk1": GIB}


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_moved_disk_gets_the_format_that_was_asked_for(stage: Stage, is_running: bool) -> None:
    if is_running:
        await stage.start()
    assert (await stage.move(format="raw"))["disks"][0]["format"] == "raw"
    assert (await stage.disk())["format"] == "raw"
    wrong = await stage.api.post("/api/vms/vm-1/disks/disk1/move", {"storage_pool": "other", "format": "vmdk"}, 400)
    assert wrong["fields"][0]["field"] == "format"


async def test_a_name_that_is_taken_in_the_other_pool_is_left_alone(stage: Stage) -> None:
    await stage.api.post("/api/storage/other/volumes", {"name": "vm-1-disk0", "size_gb": 3}, 201)
    await stage.move()
    assert await stage.volumes("other") == {"vm-1-disk0": 3 * GIB, "vm-1-disk0-2": GIB}


async def test_what_cannot_be_moved_is_refused(stage: Stage) -> None:
    for order, field in (({"storage_pool": "local"}, "storage_pool"), ({"storage_pool": "none"}, "storage_pool")):
        refused = await stage.move(400, **order)
        assert refused["fields"][0]["field"] == field
    await stage.api.post("/api/vms/vm-1/disks/disk9/move", {"storage_pool": "other"}, 404)
    await stage.api.post("/api/vms/vm-9/disks/disk0/move", {"storage_pool": "other"}, 404)
    await stage.api.post("/api/vms/vm-1/snapshots", {"name": "before"}, 201)
    refused = await stage.move(409)
    assert refused["code"] == "in_use"
    assert "before" in refused["error"]
    await stage.api.delete("/api/vms/vm-1/snapshots/before")
    await stage.is_as_before()


async def test_a_cancelled_move_leaves_the_guest_with_the_old_disk(stage: Stage) -> None:
    await stage.start()
    task = await stage.begun()
    await stage.api.delete(f"/api/tasks/{task}", 202)
    assert (await stage.api.ended(task))["state"] == "cancelled"
    assert not stage.blocks.has_copy(VM, "disk0")
    await stage.is_as_before()
    assert (await stage.api.get("/api/vms/vm-1"))["status"] == "running"


async def test_a_guest_that_ends_during_the_copy_keeps_its_disk(stage: Stage) -> None:
    await stage.start()
    task = await stage.begun()
    stage.node.hypervisor.crash(VM)
    ended = await stage.api.ended(task)
    assert (ended["state"], ended["error_code"]) == ("failed", "conflict")
    assert "ended while disk0 was being copied" in ended["error"]
    await stage.is_as_before()
    assert (await stage.api.get("/api/vms/vm-1"))["status"] == "crashed"


async def test_a_copy_that_ends_by_an_error_leaves_the_guest_as_it_was(stage: Stage) -> None:
    await stage.start()
    task = await stage.begun()
    stage.blocks.fail_copy(VM, "disk0")
    ended = await stage.api.ended(task)
    assert (ended["state"], ended["error_code"]) == ("failed", "unavailable")
    await stage.is_as_before()
    assert (await stage.api.get("/api/vms/vm-1"))["status"] == "running"


async def test_a_move_waits_for_a_hypervisor_that_is_being_restarted(stage: Stage) -> None:
    await stage.start()
    task = await stage.begun()
    stage.node.hypervisor.lose()
    stage.blocks.looks = 3
    stage.node.hypervisor.come_back()
    assert (await stage.api.ended(task))["state"] == "completed"
    assert (await stage.disk())["storage_pool"] == "other"


async def test_while_a_disk_moves_the_vm_is_held_by_that_task(stage: Stage) -> None:
    await stage.start()
    task = await stage.begun()
    for refused in (
        await stage.api.post("/api/vms/vm-1/stop", status=409),
        await stage.api.delete("/api/vms/vm-1?force=true", status=409),
        await stage.resize(2, 409),
    ):
        assert refused["task"] == task
    await stage.api.delete(f"/api/tasks/{task}", 202)
    await stage.api.ended(task)


@pytest.mark.parametrize("is_switched", [False, True])
async def test_the_next_life_finds_out_which_volume_is_right(tmp_path: Path, is_switched: bool) -> None:
    """The agent ends between the switch and the document, or just before the switch; the guest stops before it is back."""
    host = FakeHost()
    async with fake_node(tmp_path, host, stop_patience_s=0) as node, node.session() as session:
        api = Api(session)
        await api.post("/api/storage", {"id": "other", "target": str(tmp_path / "other")}, 201)
        await api.make("vm-1", disks=[{"size_gb": 1}, {"size_gb": 1}], start=True)
        stage = Stage(node, api)
        await stage.begun()
        if is_switched:
            stage.blocks.looks = 1
            await stage.blocks.look_at_copy(VM, "disk0")
            await stage.blocks.switch(VM, "disk0")
            stage.blocks.looks = 10**9
    host.hypervisor.crash(VM)
    async with fake_node(tmp_path, host) as node, node.session() as session:
        stage = Stage(node, Api(session))
        if not is_switched:
            await stage.is_as_before()
            return
        assert (await stage.disk())["storage_pool"] == "other"
        assert await stage.volumes("local") == {"vm-1-disk1": GIB}
        assert await stage.volumes("other") == {"vm-1-disk0": GIB}
        await stage.start()


@pytest.mark.parametrize("is_running", [False, True])
async def test_a_grown_disk_is_as_large_everywhere(stage: Stage, is_running: bool) -> None:
    if is_running:
        await stage.start()
    grown = await stage.resize(2.5)
    assert (grown["disks"][0]["size_gb"], grown["disks"][1]["size_gb"]) == (2.5, 1)
    assert (await stage.volumes("local"))["vm-1-disk0"] == 5 * GIB // 2
    assert stage.blocks.sizes == ({(VM, "disk0"): 5 * GIB // 2} if is_running else {})
    assert (await stage.disk())["size_gb"] == 2.5


async def test_a_disk_never_shrinks(stage: Stage) -> None:
    refused = await stage.resize(0.5, 409)
    assert "never shrink" in refused["error"]
    assert refused["capacity_bytes"] == GIB
    assert (await stage.resize(0, 400))["fields"][0]["field"] == "size_gb"
    await stage.resize(1)
    assert (await stage.disk())["size_gb"] == 1


async def test_growing_beyond_what_the_pool_has_is_warned_of(stage: Stage) -> None:
    task = await stage.api.begin("POST", "/api/vms/vm-1/disks/disk0/resize", {"size_gb": 5000})
    ended = await stage.api.ended(task)
    assert ended["state"] == "completed"
    assert "pool local has 100.0 GiB left" in ended["warnings"][0]
