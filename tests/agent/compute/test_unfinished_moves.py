"""What is done about a move that was cut off about its switch: what the guest has open is never removed."""

from collections.abc import Callable, Mapping
from typing import cast

import msgspec
import pytest

from agent.compute.birth import VmBirth
from agent.compute.definer import Definer
from agent.compute.disk_copy import CopyWatch
from agent.compute.disk_move import DiskMove
from agent.compute.disk_ports import DiskVolumes
from agent.compute.disk_records import DiskRecords
from agent.compute.fake import FakeHypervisor
from agent.compute.fake_blocks import FakeBlockJobs
from agent.compute.ports import Disks
from agent.compute.registry import VmRegistry
from agent.compute.snapshot_files import SnapshotFiles
from agent.recoveries import RecoveryFn
from agent.tasks import TaskSubmitter
from cluster.store.memory import MemoryStore
from horcrux.compute.disk_change import begin_switch
from horcrux.compute.domain import DomainDisk
from horcrux.compute.vm import Disk, Phase, VmDocument
from horcrux.errors import NotFound, Unavailable
from horcrux.ids import NodeId, PoolId, VmId
from horcrux.storage.network_source import NetworkSource
from horcrux.storage.volume import Volume, VolumeKind, VolumeUse
from horcrux.store import Collection
from tests.support.clock import FakeClock
from tests.support.guests import host_facts, plan_for

VM = VmId("vm-1")
SOURCE, TARGET = (PoolId("local"), "vm-1-disk0"), (PoolId("ceph"), "vm-1-disk0")
LOCAL = Volume(
    pool=SOURCE[0], name=SOURCE[1], format="qcow2", capacity_bytes=4096, allocation_bytes=0, path="/local/vm-1.qcow2"
)
IMAGE = Volume(
    pool=TARGET[0],
    name=TARGET[1],
    format="raw",
    capacity_bytes=4096,
    allocation_bytes=0,
    path="rbd:images/vm-1-disk0:id=us:keyfile=/etc/key:mon_host=192.0.2.1",
    kind=VolumeKind.NETWORK,
    network=NetworkSource(hosts=("192.0.2.1",)),
)


class Shelf:
    """Volumes of two pools, as far as a recovery asks for them."""

    def __init__(self) -> None:
        self.volumes = {SOURCE: LOCAL, TARGET: IMAGE}
        self.uses: dict[tuple[PoolId, str], VolumeUse] = {}

    async def find_disk(self, pool: PoolId, name: str) -> Volume:
        if (pool, name) not in self.volumes:
            raise NotFound(f"no volume {name} in pool {pool}")
        return self.volumes[pool, name]

    async def delete_disk(self, pool: PoolId, name: str) -> None:
        self.volumes.pop((pool, name), None)

    async def delete_seed(self, _vm_id: VmId) -> None:
        """There is none."""

    async def remove_all(self, _vm_id: VmId) -> None:
        """There are no snapshots."""

    def use_of(self, pool: PoolId, name: str) -> VolumeUse | None:
        return self.uses.get((pool, name))


class LateSwitch(FakeBlockJobs):
    """The switch that was under way ends while its copy is dropped."""

    async def drop_copy(self, vm_id: VmId, disk: str) -> None:
        await self.switch(vm_id, disk)


class Catcher:
    """Keeps the recovery that is registered."""

    fn: RecoveryFn

    def recovery(self, _kind: str, fn: RecoveryFn) -> None:
        self.fn = fn


class World:
    """VM vm-1 runs with its disk in `local`, and a copy of it in `ceph` is ready."""

    def __init__(self, blocks: Callable[[FakeHypervisor], FakeBlockJobs] = FakeBlockJobs) -> None:
        self.hypervisor = FakeHypervisor(host_facts("/nowhere"))
        self.blocks = blocks(self.hypervisor)
        self.shelf = Shelf()
        self.vms = Collection(MemoryStore(FakeClock()), "vm", VmDocument)
        self.definer = Definer(self.hypervisor, cast(Disks, self.shelf))
        records = DiskRecords(self.vms, self.definer)
        self._tasks = Catcher()
        DiskMove(
            records,
            cast(VmRegistry, None),
            self.blocks,
            cast(DiskVolumes, self.shelf),
            cast(CopyWatch, None),
            cast(TaskSubmitter, self._tasks),
        )

    async def begin(self, *, is_switching: bool = True) -> None:
        disk = Disk(name="disk0", storage_pool=SOURCE[0], volume=SOURCE[1], size_gb=1)
        plan = plan_for(VM, disks=(disk,), nics=())
        plan = msgspec.structs.replace(plan, disks=(DomainDisk(name="disk0", path=LOCAL.path, format="qcow2"),))
        self.args: Mapping[str, str] = {
            "vm": VM,
            "uuid": plan.uuid,
            "disk": "disk0",
            "source": "/".join(SOURCE),
            "target": "/".join(TARGET),
        }
        document = VmDocument(
            id=VM, uuid=plan.uuid, owner=NodeId("node"), phase=Phase.READY, spec=plan.spec, created_at=0.0
        )
        if is_switching:
            document = begin_switch(document, "disk0", *TARGET)
        await self.vms.create(VM, document)
        await self.hypervisor.define(plan)
        await self.hypervisor.start(VM)
        opened = DomainDisk(name="disk0", path=IMAGE.path, format="raw", kind=IMAGE.kind, network=IMAGE.network)
        await self.blocks.start_copy(VM, "disk0", opened)
        while not (copy := await self.blocks.look_at_copy(VM, "disk0")) or not copy.is_ready:
            pass

    async def settle(self) -> None:
        await self._tasks.fn(self.args)

    async def place(self) -> tuple[PoolId, str]:
        """Where the document has the disk; nothing is unsettled about it."""
        document = (await self.vms.get(VM)).value
        assert document.moving == {}
        return document.spec.disks[0].storage_pool, document.spec.disks[0].volume


async def test_a_network_volume_that_the_guest_has_open_is_known_again() -> None:
    world = World()
    await world.begin()
    await world.blocks.switch(VM, "disk0")
    await world.settle()
    assert (await world.place(), list(world.shelf.volumes)) == (TARGET, [TARGET])


async def test_what_was_not_switched_stays_where_it_was() -> None:
    world = World()
    await world.begin()
    await world.settle()
    assert (await world.place(), list(world.shelf.volumes)) == (SOURCE, [SOURCE])


async def test_a_switch_that_ends_while_its_copy_is_dropped_counts() -> None:
    world = World(LateSwitch)
    await world.begin()
    await world.settle()
    assert (await world.place(), list(world.shelf.volumes)) == (TARGET, [TARGET])


async def test_a_target_that_cannot_be_found_proves_nothing() -> None:
    world = World()
    await world.begin()
    await world.blocks.switch(VM, "disk0")
    del world.shelf.volumes[TARGET]
    with pytest.raises(Unavailable, match="neither copy is removed"):
        await world.settle()
    assert list(world.shelf.volumes) == [SOURCE]
    world.shelf.volumes[TARGET] = IMAGE
    await world.settle()
    assert (await world.place(), list(world.shelf.volumes)) == (TARGET, [TARGET])


async def test_of_a_domain_that_is_gone_nothing_is_removed_while_it_was_being_switched() -> None:
    world = World()
    await world.begin()
    world.hypervisor.outside_undefine(VM)
    with pytest.raises(Unavailable, match="neither copy is removed"):
        await world.settle()
    assert set(world.shelf.volumes) == {SOURCE, TARGET}


async def test_a_copy_that_was_never_to_be_switched_goes_with_its_domain() -> None:
    world = World()
    await world.begin(is_switching=False)
    world.hypervisor.outside_undefine(VM)
    await world.settle()
    assert (await world.place(), list(world.shelf.volumes)) == (SOURCE, [SOURCE])


async def test_of_a_vm_that_is_gone_only_an_unused_target_is_removed() -> None:
    world = World()
    await world.begin()
    await world.vms.delete(VM)
    world.shelf.uses[TARGET] = VolumeUse(VmId("other"), "disk0")
    await world.settle()
    assert set(world.shelf.volumes) == {SOURCE, TARGET}
    world.shelf.uses.clear()
    await world.settle()
    assert list(world.shelf.volumes) == [SOURCE]


async def test_a_target_that_is_another_vms_by_now_stays() -> None:
    world = World()
    await world.begin(is_switching=False)
    world.shelf.uses[TARGET] = VolumeUse(VmId("other"), "disk0")
    await world.settle()
    assert set(world.shelf.volumes) == {SOURCE, TARGET}


async def test_a_vm_that_is_deleted_takes_both_sides_of_a_move_with_it() -> None:
    world, tasks = World(), Catcher()
    await world.begin()
    VmBirth(
        world.vms,
        world.hypervisor,
        cast(Disks, world.shelf),
        world.definer,
        cast(TaskSubmitter, tasks),
        snapshot_files=cast(SnapshotFiles, world.shelf),
        node=NodeId("node"),
        clock=FakeClock(),
        entropy=bytes,
    )
    was = await world.vms.get(VM)
    await world.vms.replace(VM, was, msgspec.structs.replace(was.value, phase=Phase.DELETING))
    await tasks.fn({"id": VM, "uuid": was.value.uuid})
    assert (await world.vms.find(VM), world.shelf.volumes) == (None, {})
