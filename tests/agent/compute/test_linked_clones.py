"""Guests on linked clones: two run on one base, which nobody can write to, and one outlives the other."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agent.host.reach import open_way
from agent.storage.libvirt_pool import LibvirtPoolDriver
from horcrux.compute.domain import DomainDisk, DomainPlan
from horcrux.compute.vm import RunState
from horcrux.errors import InUse
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.volume import Volume
from horcrux.units import MIB
from tests.support.guests import LibvirtWorld, libvirt_world, plan_for, virsh, with_disk

pytestmark = pytest.mark.libvirt


@pytest.fixture
def world() -> Iterator[LibvirtWorld]:
    with libvirt_world() as world:
        yield world


def plan_on(volume: Volume) -> DomainPlan:
    """A guest whose one disk is the volume."""
    plan = with_disk(plan_for(volume.name), Path(volume.path))
    disk = msgspec.structs.replace(plan.spec.disks[0], format=volume.format)
    opened = DomainDisk(name="disk0", path=volume.path, format=volume.format, kind=volume.kind)
    return msgspec.structs.replace(plan, spec=msgspec.structs.replace(plan.spec, disks=(disk,)), disks=(opened,))


async def test_two_guests_run_on_one_base_and_its_snapshots_are_refused_while_they_do(
    world: LibvirtWorld, tmp_path: Path
) -> None:
    node = NodeId("n0c0b0a09")
    driver = LibvirtPoolDriver("qemu:///system", node, let_qemu_in=open_way)
    pool = PoolDocument(
        id=PoolId("p"), name="P", storage_type=PoolType.DIR, node=node, target=str(tmp_path / "pool"), created_at=1.0
    )
    await driver.open(pool)
    clones, snapshots = driver.clones(pool), driver.snapshots(pool)
    assert clones is not None
    assert snapshots is not None
    try:
        await driver.create_volume(pool, "disk0", 8 * MIB, "raw")
        await clones.make_base(pool, "disk0", "base0")
        plans = [plan_on(await clones.clone_volume(pool, "base0", name)) for name in ("one", "two")]
        async with world.open() as hypervisor:
            for plan in plans:
                await hypervisor.define(plan)
                await hypervisor.start(plan.vm_id)
            chain = await virsh("domblklist", "--details", f"hx-{world.host.node_id}-one")
            assert plans[0].disks[0].path in chain
            with pytest.raises(InUse, match="running VM"):
                await snapshots.snapshot_volumes(pool, ["one"], "now")
            assert await snapshots.list_snapshots(pool, "one") == []
            await hypervisor.stop(plans[0].vm_id)
            assert (await hypervisor.look(plans[1].vm_id)).state is RunState.RUNNING
            await snapshots.snapshot_volumes(pool, ["one"], "now")
            await hypervisor.start(plans[0].vm_id)  # the base is root's again, and read all the same
    finally:
        await driver.remove(pool)
        await driver.close()
