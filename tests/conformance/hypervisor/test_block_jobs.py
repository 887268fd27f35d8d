"""What every hypervisor that works on the disks of running guests must do: each sentence of `BlockJobs`."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.compute.driver import BlockJobs
from horcrux.compute.domain import DomainDisk
from horcrux.errors import Conflict, NotFound
from horcrux.ids import VmId
from tests.support.guests import Driver, FakeWorld, World, block_jobs, plan_for, with_disk

VM = VmId("vm-100")
MIB = 1024**2
SIZE = 8 * MIB


@pytest.fixture
async def folder(world: World) -> AsyncIterator[Path]:
    """Where QEMU's user can come; the disk in it is raw and holds what is not zero."""
    name = await asyncio.to_thread(TemporaryDirectory, prefix="hxb-", dir="/var/tmp")
    path = Path(name.name)
    await asyncio.to_thread(path.chmod, 0o711)
    await asyncio.to_thread((path / "old.raw").write_bytes, b"\x07" * SIZE)
    yield path
    await asyncio.to_thread(name.cleanup)


@pytest.fixture
def jobs(world: World, driver: Driver) -> BlockJobs:
    return block_jobs(driver)


@pytest.fixture
async def running(driver: Driver, folder: Path) -> str:
    """Path of the disk of a guest that runs."""
    await driver.define(with_disk(plan_for(VM), folder / "old.raw"))
    await driver.start(VM)
    return str(folder / "old.raw")


async def target(world: World, folder: Path, format_: str = "raw", size: int = SIZE) -> DomainDisk:
    path = folder / f"new.{format_}"
    if not isinstance(world, FakeWorld):
        words = ["qemu-img", "create", "-q", "-f", format_, str(path), str(size)]
        await asyncio.to_thread(subprocess.run, words, check=True)
    return DomainDisk(name="disk0", path=str(path), format=format_)


async def until_ready(jobs: BlockJobs) -> None:
    async with asyncio.timeout(30):
        while (copy := await jobs.look_at_copy(VM, "disk0")) is None or not copy.is_ready:
            assert copy is not None
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("format_", ["raw", "qcow2"])
async def test_a_switched_guest_has_the_copy_open_and_its_definition_names_it(
    world: World, driver: Driver, jobs: BlockJobs, folder: Path, running: str, format_: str
) -> None:
    new = await target(world, folder, format_)
    assert await jobs.look_at_copy(VM, "disk0") is None
    await jobs.start_copy(VM, "disk0", new)
    await until_ready(jobs)
    assert await jobs.disk_path(VM, "disk0") == running
    await jobs.switch(VM, "disk0")
    assert await jobs.disk_path(VM, "disk0") == new.path
    assert await jobs.look_at_copy(VM, "disk0") is None
    await driver.stop(VM)
    assert await jobs.disk_path(VM, "disk0") == new.path
    if not isinstance(world, FakeWorld):
        words = ["qemu-img", "compare", "-f", "raw", "-F", format_, running, new.path]
        await asyncio.to_thread(subprocess.run, words, check=True)


async def test_a_copy_tells_how_far_it_is(world: World, jobs: BlockJobs, folder: Path, running: str) -> None:
    await jobs.start_copy(VM, "disk0", await target(world, folder))
    await until_ready(jobs)
    copy = await jobs.look_at_copy(VM, "disk0")
    assert copy is not None
    assert copy.done_bytes == copy.total_bytes > 0


async def test_a_dropped_copy_leaves_the_guest_with_the_old_disk(
    world: World, jobs: BlockJobs, folder: Path, running: str
) -> None:
    await jobs.start_copy(VM, "disk0", await target(world, folder))
    for _ in range(2):
        await jobs.drop_copy(VM, "disk0")
    assert await jobs.look_at_copy(VM, "disk0") is None
    assert await jobs.disk_path(VM, "disk0") == running
    with pytest.raises(Conflict):
        await jobs.switch(VM, "disk0")


async def test_a_disk_is_copied_once_at_a_time(world: World, jobs: BlockJobs, folder: Path, running: str) -> None:
    new = await target(world, folder)
    await jobs.start_copy(VM, "disk0", new)
    with pytest.raises(Conflict, match="already"):
        await jobs.start_copy(VM, "disk0", new)


async def test_a_copy_ends_with_the_guest(
    world: World, driver: Driver, jobs: BlockJobs, folder: Path, running: str
) -> None:
    await jobs.start_copy(VM, "disk0", await target(world, folder))
    await world.outside_stop(VM)
    assert await jobs.look_at_copy(VM, "disk0") is None
    assert await jobs.disk_path(VM, "disk0") == running
    await jobs.drop_copy(VM, "disk0")
    await driver.start(VM)
    assert await jobs.look_at_copy(VM, "disk0") is None


async def test_a_copy_goes_on_while_nobody_can_ask(
    world: World, driver: Driver, jobs: BlockJobs, folder: Path, running: str
) -> None:
    await jobs.start_copy(VM, "disk0", await target(world, folder))
    await world.lose()
    await world.come_back()
    await until_ready(jobs)
    await jobs.switch(VM, "disk0")


async def test_a_paused_guests_disk_is_copied_too(
    world: World, driver: Driver, jobs: BlockJobs, folder: Path, running: str
) -> None:
    await driver.pause(VM)
    new = await target(world, folder)
    await jobs.start_copy(VM, "disk0", new)
    await until_ready(jobs)
    await jobs.switch(VM, "disk0")
    assert await jobs.disk_path(VM, "disk0") == new.path


async def test_a_grown_disk_is_as_large_as_said(world: World, jobs: BlockJobs, running: str) -> None:
    await jobs.grow_disk(VM, "disk0", 2 * SIZE)
    if not isinstance(world, FakeWorld):
        assert (await asyncio.to_thread(Path(running).stat)).st_size == 2 * SIZE


async def test_a_guest_that_does_not_run_is_not_worked_on(
    world: World, driver: Driver, jobs: BlockJobs, folder: Path
) -> None:
    await driver.define(with_disk(plan_for(VM), folder / "old.raw"))
    new = await target(world, folder)
    for call in (
        jobs.start_copy(VM, "disk0", new),
        jobs.switch(VM, "disk0"),
        jobs.grow_disk(VM, "disk0", 2 * SIZE),
    ):
        with pytest.raises(Conflict, match="vm-100"):
            await call
    assert await jobs.look_at_copy(VM, "disk0") is None
    assert await jobs.disk_path(VM, "disk0") == str(folder / "old.raw")


async def test_what_is_not_there_is_not_found(world: World, jobs: BlockJobs, folder: Path, running: str) -> None:
    new = await target(world, folder)
    for vm_id, disk in ((VM, "disk7"), (VmId("vm-2"), "disk0")):
        for call in (
            jobs.disk_path(vm_id, disk),
            jobs.start_copy(vm_id, disk, new),
            jobs.look_at_copy(vm_id, disk),
            jobs.drop_copy(vm_id, disk),
            jobs.grow_disk(vm_id, disk, SIZE),
        ):
            with pytest.raises(NotFound):
                await call
