"""What every hypervisor that keeps disks and memory of its guests must do: each sentence of `GuestSnapshots` that needs no guest
agent (for those see tests/agent/compute/test_guest_agent.py)."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from agent.compute.driver import GuestSnapshots
from horcrux.compute.domain import DomainDisk, DomainPlan
from horcrux.compute.vm import Disk, DiskBus, RunState
from horcrux.errors import AlreadyExists, Conflict, NotFound, Unavailable
from horcrux.ids import PoolId, VmId
from tests.support.guests import Driver, World, guest_snapshots, plan_for

VM = VmId("vm-100")
BUSES = (DiskBus.VIRTIO, DiskBus.SCSI, DiskBus.SATA)
DISKS = tuple(f"disk{i}" for i in range(len(BUSES)))


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    """Where QEMU's user can come."""
    name = await asyncio.to_thread(TemporaryDirectory, prefix="hxs-", dir="/var/tmp")
    path = Path(name.name)
    await asyncio.to_thread(path.chmod, 0o711)
    yield path
    await asyncio.to_thread(name.cleanup)


@pytest.fixture
def guests(world: World, driver: Driver) -> GuestSnapshots:
    return guest_snapshots(driver, world.host.node_id)


@pytest.fixture
async def plan(driver: Driver, folder: Path) -> DomainPlan:
    """Of a VM that is defined, with a qcow2 disk on each bus."""
    for disk in DISKS:
        words = ["qemu-img", "create", "-q", "-f", "qcow2", str(folder / f"{disk}.qcow2"), "8M"]
        await asyncio.to_thread(subprocess.run, words, check=True)
    base = plan_for(VM)
    disks = tuple(
        Disk(name=disk, storage_pool=PoolId("local"), volume=f"vm-100-{disk}", size_gb=1, bus=bus)
        for disk, bus in zip(DISKS, BUSES, strict=True)
    )
    opened = tuple(DomainDisk(name=disk, path=str(folder / f"{disk}.qcow2"), format="qcow2") for disk in DISKS)
    plan = replace(base, spec=replace(base.spec, disks=disks), disks=opened)
    await driver.define(plan)
    return plan


async def test_a_vm_that_is_not_defined_is_not_found(guests: GuestSnapshots, folder: Path) -> None:
    for call in (
        guests.has_agent(VM),
        guests.hold(VM),
        guests.release(VM),
        guests.thaw(VM),
        guests.snapshot_disks(VM, ["disk0"], "s"),
        guests.delete_disk_snapshots(VM, ["disk0"], "s"),
        guests.save_memory(VM, str(folder / "m")),
        guests.restore_memory(VM, str(folder / "m")),
    ):
        with pytest.raises(NotFound, match="vm-100"):
            await call


async def test_disks_of_every_bus_are_taken_while_the_guest_runs(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan
) -> None:
    await driver.start(VM)
    await guests.snapshot_disks(VM, DISKS, "s")
    assert (await driver.look(VM)).state is RunState.RUNNING
    await driver.pause(VM)
    await guests.snapshot_disks(VM, DISKS, "paused")
    await guests.delete_disk_snapshots(VM, DISKS, "s")
    await guests.snapshot_disks(VM, DISKS, "s")


async def test_all_disks_are_taken_or_none(driver: Driver, guests: GuestSnapshots, plan: DomainPlan) -> None:
    await driver.start(VM)
    await guests.snapshot_disks(VM, ["disk2"], "s")
    with pytest.raises(AlreadyExists):
        await guests.snapshot_disks(VM, DISKS, "s")
    await guests.snapshot_disks(VM, ["disk0", "disk1"], "s")  # they had none


async def test_deleting_is_idempotent(driver: Driver, guests: GuestSnapshots, plan: DomainPlan) -> None:
    await driver.start(VM)
    await guests.snapshot_disks(VM, ["disk1"], "s")
    for _ in range(2):
        await guests.delete_disk_snapshots(VM, DISKS, "s")
    await guests.snapshot_disks(VM, DISKS, "s")


async def test_a_disk_that_the_guest_does_not_have_is_named(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan
) -> None:
    await driver.start(VM)
    with pytest.raises(NotFound, match="disk7"):
        await guests.snapshot_disks(VM, ["disk0", "disk7"], "s")
    await guests.snapshot_disks(VM, ["disk0"], "s")


async def test_disks_of_a_stopped_guest_are_nobody_s_to_take(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan
) -> None:
    with pytest.raises(Conflict, match="stopped"):
        await guests.snapshot_disks(VM, ["disk0"], "s")
    with pytest.raises(Conflict, match="stopped"):
        await guests.delete_disk_snapshots(VM, ["disk0"], "s")


async def test_a_held_guest_stands_still_until_it_is_released(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan
) -> None:
    with pytest.raises(Conflict, match="stopped"):
        await guests.hold(VM)
    await driver.start(VM)
    await guests.hold(VM)
    assert (await driver.look(VM)).state is RunState.PAUSED
    for _ in range(2):
        await guests.release(VM)
        assert (await driver.look(VM)).state is RunState.RUNNING
    await driver.stop(VM)
    await guests.release(VM)
    assert (await driver.look(VM)).state is RunState.STOPPED


async def test_no_agent_answers_in_a_guest_without_one(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan
) -> None:
    assert await guests.has_agent(VM) is False
    await driver.start(VM)
    assert await guests.has_agent(VM) is False
    with pytest.raises(Unavailable, match="agent"):
        await guests.freeze(VM)
    assert await guests.thaw(VM) is False
    await driver.stop(VM)
    assert await guests.thaw(VM) is False


async def test_memory_is_saved_of_a_paused_guest_which_stays_so(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan, folder: Path
) -> None:
    path = str(folder / "memory")
    with pytest.raises(Conflict, match="stopped"):
        await guests.save_memory(VM, path)
    await driver.start(VM)
    with pytest.raises(Conflict, match="running"):
        await guests.save_memory(VM, path)
    await driver.pause(VM)
    await asyncio.to_thread(Path(path).write_bytes, b"from an earlier attempt")
    await guests.save_memory(VM, path)
    assert (await driver.look(VM)).state is RunState.PAUSED
    assert await asyncio.to_thread(lambda: Path(path).stat().st_size) > 100


async def test_a_guest_goes_on_from_its_memory_with_what_it_was_started_with(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan, folder: Path
) -> None:
    path = str(folder / "memory")
    await driver.start(VM)
    await driver.pause(VM)
    await guests.save_memory(VM, path)
    with pytest.raises(Conflict, match="stopped"):
        await guests.restore_memory(VM, path)
    await driver.stop(VM)
    for _ in range(2):  # the file is not used up
        await guests.restore_memory(VM, path)
        seen = await driver.look(VM)
        assert (seen.state, seen.applied) == (RunState.RUNNING, plan.spec)
        await driver.stop(VM)


async def test_memory_that_is_gone_or_cut_off_is_told(
    driver: Driver, guests: GuestSnapshots, plan: DomainPlan, folder: Path
) -> None:
    with pytest.raises(Unavailable, match="memory"):
        await guests.restore_memory(VM, str(folder / "nothing"))
    await asyncio.to_thread((folder / "half").write_bytes, b"LibvirtQemudPart" + bytes(64))
    with pytest.raises(Unavailable, match="memory"):
        await guests.restore_memory(VM, str(folder / "half"))
    assert (await driver.look(VM)).state is RunState.STOPPED
