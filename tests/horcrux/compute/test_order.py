import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.compute.order import MAX_DISK_GB, Surroundings, change_spec, pending_changes, plan_vm
from horcrux.compute.vm import Architecture, CloudInit, VmSpec, sealed
from horcrux.compute.vm_bodies import NewDisk, NewNic, NewVm, VmChange
from horcrux.errors import InvalidFields
from horcrux.ids import PoolId, VmId
from horcrux.storage.volume import Image
from horcrux.units import GIB, MIB

DEBIAN = Image(
    pool=PoolId("local"),
    name="debian.qcow2",
    format="qcow2",
    size_bytes=300 * MIB,
    virtual_size_bytes=2 * GIB,
    sha256="0" * 64,
    created_at=0,
)
INSTALLER = msgspec.structs.replace(DEBIAN, name="installer.iso", format="iso")
AROUND = Surroundings(
    architectures=(Architecture.X86_64, Architecture.AARCH64),
    pools=frozenset({"local"}),
    images={("local", i.name): i for i in (DEBIAN, INSTALLER)},
    bridges=frozenset({"br0"}),
)
VM = VmId("vm-100")


def plan(order: NewVm) -> VmSpec:
    macs = (f"52:54:00:00:00:{i:02x}" for i in itertools.count(1))
    names = [f"vm-100-disk{i}" for i in range(len(order.disks))]
    return plan_vm(order, VM, AROUND, names, lambda: next(macs))[0]


def fields(order: NewVm) -> list[str]:
    with pytest.raises(InvalidFields) as refused:
        plan(order)
    return [p.field for p in refused.value.problems]


def test_what_is_left_out_gets_its_default() -> None:
    spec = plan(NewVm())
    assert (spec.name, spec.cpu_cores, spec.memory_mb) == ("vm-100", 1, 1024)
    assert spec.architecture is Architecture.X86_64
    assert [n.mac for n in spec.nics] == ["52:54:00:00:00:01"]
    assert plan(NewVm(nics=())).nics == ()


def test_a_disk_begins_from_an_image_of_another_pool_when_that_is_named() -> None:
    around = msgspec.structs.replace(AROUND, pools=frozenset({"local", "tank"}))
    macs = iter(["52:54:00:00:00:01"])
    order = NewVm(disks=(NewDisk(storage_pool="tank", image="local/debian.qcow2"),))
    spec, disks = plan_vm(order, VM, around, ["vm-100-disk0"], lambda: next(macs))
    assert (spec.disks[0].storage_pool, spec.disks[0].size_gb, disks[0].image) == ("tank", 2, "local/debian.qcow2")
    assert fields(NewVm(disks=(NewDisk(image="tank/debian.qcow2"),))) == ["disks[0].image"]


def test_a_disk_takes_its_size_or_that_of_its_image() -> None:
    spec = plan(
        NewVm(disks=(NewDisk(size_gb=1.5), NewDisk(image="debian.qcow2"), NewDisk(image="debian.qcow2", size_gb=9)))
    )
    assert [(d.name, d.volume, d.size_gb) for d in spec.disks] == [
        ("disk0", "vm-100-disk0", 1.5),
        ("disk1", "vm-100-disk1", 2.0),
        ("disk2", "vm-100-disk2", 9.0),
    ]


def test_every_wrong_field_is_named_at_once() -> None:
    order = NewVm(
        name="a\nb",
        cpu_cores=0,
        memory_mb=1,
        architecture=Architecture.RISCV64,
        machine="q35 -device x",
        cpu_model="",
        tags=("ok", "not ok"),
        disks=(NewDisk(size_gb=1), NewDisk(), NewDisk(storage_pool="nope", size_gb=1), NewDisk(image="gone")),
        nics=(NewNic(mac="01:00:00:00:00:00"), NewNic(bridge="br9"), NewNic(vnet="v1"), NewNic(model="ne2000")),
        cdrom="gone.iso",
    )
    assert fields(order) == [
        "cpu_cores",
        "memory_mb",
        "name",
        "machine",
        "cpu_model",
        "tags[1]",
        "architecture",
        "disks[1].size_gb",
        "disks[2].storage_pool",
        "disks[3].image",
        "nics[0].mac",
        "nics[1].bridge",
        "nics[2].vnet",
        "nics[3].model",
        "cdrom",
    ]


def test_an_image_may_not_be_cut_short_nor_an_iso_be_a_disk() -> None:
    assert fields(NewVm(disks=(NewDisk(image="debian.qcow2", size_gb=1),))) == ["disks[0].size_gb"]
    assert fields(NewVm(disks=(NewDisk(image="installer.iso"),))) == ["disks[0].image"]


def test_the_drive_takes_an_image_of_local_or_of_a_named_pool() -> None:
    assert plan(NewVm(cdrom="installer.iso")).cdrom == "local/installer.iso"
    assert plan(NewVm(cdrom="local/installer.iso")).cdrom == "local/installer.iso"


def test_two_cards_may_not_share_an_address() -> None:
    mac = "52:54:00:AA:BB:CC"
    assert fields(NewVm(nics=(NewNic(mac=mac), NewNic(mac=mac.lower())))) == ["nics[1].mac"]


@given(st.floats())
def test_a_disk_size_is_either_planned_in_whole_mebibytes_or_refused(size_gb: float) -> None:
    order = NewVm(disks=(NewDisk(size_gb=size_gb),))
    if 0 < size_gb <= MAX_DISK_GB:
        _, planned = plan_vm(order, VM, AROUND, ["v"], lambda: "52:54:00:00:00:01")
        assert planned[0].size_bytes % MIB == 0
        assert 0 <= planned[0].size_bytes - size_gb * GIB <= MIB
    else:
        assert fields(order) == ["disks[0].size_gb"]


def test_a_change_leaves_the_rest_and_null_clears() -> None:
    spec = plan(NewVm(cpu_cores=2, cdrom="installer.iso", cpu_model="host"))
    changed = change_spec(spec, VmChange(memory_mb=2048, cdrom=None), AROUND, lambda: "")
    assert changed == msgspec.structs.replace(spec, memory_mb=2048, cdrom=None)
    with pytest.raises(InvalidFields, match="memory_mb"):
        change_spec(spec, VmChange(memory_mb=0), AROUND, lambda: "")


def test_only_what_needs_a_restart_is_pending() -> None:
    spec = plan(NewVm(cpu_cores=2))
    wanted = msgspec.structs.replace(spec, name="other", cpu_cores=4)
    assert pending_changes(spec, wanted) == [("cpu_cores", 2, 4)]
    assert pending_changes(spec, spec) == []


def test_user_data_is_pending_when_it_differs_and_is_not_shown() -> None:
    spec = VmSpec(name="a", cpu_cores=2, memory_mb=64, cloud_init=CloudInit(user_data="password: hunter2"))
    wanted = msgspec.structs.replace(spec, cloud_init=CloudInit(user_data="password: hunter3"))
    assert pending_changes(sealed(spec), spec) == []
    (change,) = pending_changes(sealed(spec), wanted)
    assert change[0] == "cloud_init"
    assert "hunter" not in str(change)
