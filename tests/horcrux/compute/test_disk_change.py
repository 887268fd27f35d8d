import pytest
from msgspec.structs import replace

from horcrux.compute.disk_change import begin_switch, check_can_move, disk_of, grown, moved, not_moved
from horcrux.compute.order import pending_changes
from horcrux.compute.settled import check_settled
from horcrux.compute.vm import Disk, DiskBus, DiskCache, VmDocument, VmSnapshot, VmSpec
from horcrux.errors import Conflict, InUse, Invalid, NotFound
from horcrux.ids import NodeId, PoolId, VmId
from horcrux.storage.volume import Volume
from horcrux.units import GIB

LOCAL, TANK = PoolId("local"), PoolId("tank")
DISKS = (
    Disk(name="disk0", storage_pool=LOCAL, volume="a", size_gb=1, bus=DiskBus.SCSI, base="base-1"),
    Disk(name="disk1", storage_pool=LOCAL, volume="b", size_gb=2),
)
SPEC = VmSpec(name="web", cpu_cores=1, memory_mb=64, disks=DISKS)
VM = VmDocument(id=VmId("vm-1"), uuid="u", owner=NodeId("n0"), spec=SPEC, created_at=0.0)
ZVOL = Volume(pool=TANK, name="a-2", format="raw", capacity_bytes=GIB, allocation_bytes=0, path="/dev/zvol/tank/a-2")


def snapshot(name: str) -> VmSnapshot:
    return VmSnapshot(name=name, created_at=0.0, parent=None, has_memory=False, was_running=False, spec=SPEC)


def test_a_moved_disk_is_the_new_volume_and_stands_on_nothing() -> None:
    after = moved(begin_switch(VM, "disk0", TANK, "a-2"), "disk0", ZVOL)
    assert after.moving == {}
    disk = disk_of(after, "disk0")
    assert (disk.storage_pool, disk.volume, disk.format, disk.size_gb, disk.base) == (TANK, "a-2", "raw", 1, None)
    assert (disk.bus, disk.cache) == (DiskBus.SCSI, DISKS[0].cache)
    assert disk_of(after, "disk1") == DISKS[1]


def test_a_switch_that_did_not_come_leaves_the_document_as_it_was() -> None:
    assert not_moved(begin_switch(VM, "disk0", TANK, "a-2"), "disk0") == VM


def test_nothing_is_built_on_a_vm_while_a_switch_is_open() -> None:
    check_settled(VM)
    switching = begin_switch(VM, "disk0", TANK, "a-2")
    with pytest.raises(Conflict, match="disk0 of VM vm-1 was being moved to tank/a-2"):
        check_settled(switching)
    with pytest.raises(Conflict):
        check_can_move(switching, "disk1", TANK)


def test_what_cannot_be_moved_says_why() -> None:
    assert check_can_move(VM, "disk0", TANK) == DISKS[0]
    with pytest.raises(Invalid, match="in pool local already"):
        check_can_move(VM, "disk0", LOCAL)
    with pytest.raises(NotFound, match="no disk disk7"):
        check_can_move(VM, "disk7", TANK)
    with pytest.raises(InUse, match=r"move disk0.*before"):
        check_can_move(replace(VM, snapshots=(snapshot("before"),)), "disk0", TANK)


def test_what_a_running_guest_was_given_at_once_is_not_pending() -> None:
    after = grown(moved(VM, "disk0", ZVOL), "disk0", replace(ZVOL, capacity_bytes=3 * GIB))
    assert disk_of(after, "disk0").size_gb == 3
    assert pending_changes(SPEC, after.spec) == []


@pytest.mark.parametrize("change", [{"bus": DiskBus.SATA}, {"cache": DiskCache.UNSAFE}])
def test_how_a_disk_is_attached_waits_for_the_next_start(change: dict[str, object]) -> None:
    changed = replace(SPEC, disks=(replace(DISKS[0], **change), DISKS[1]))
    assert [field for field, _, _ in pending_changes(SPEC, changed)] == ["disks"]
