"""What a template takes of a VM, what a clone is made of, and what keeps a template from being deleted."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from horcrux.compute.template import (
    TemplateDisk,
    TemplateDocument,
    base_name,
    disk_as_it_is,
    general_nics,
    general_spec,
    standing_on,
    template_id,
)
from horcrux.compute.template_bodies import CloneTemplate, CloneType
from horcrux.compute.template_clone import plan_clone, target_pools
from horcrux.compute.vm import CloudInit, Disk, Nic, Phase, VmDocument, VmSpec
from horcrux.errors import InvalidFields
from horcrux.ids import NodeId, PoolId, VmId
from horcrux.storage.volume import Volume
from horcrux.units import GIB

LOCAL, FAST = PoolId("local"), PoolId("fast")
NODE = NodeId("n00000000")
SPEC = VmSpec(
    name="golden",
    cpu_cores=2,
    memory_mb=512,
    machine="pc-q35-7.2",
    disks=(Disk(name="disk0", storage_pool=LOCAL, volume="vm-100-disk0", size_gb=10),),
    nics=(Nic(mac="52:54:00:00:00:01", model="e1000", bridge="br0"),),
    cdrom="local/install.iso",
    cloud_init=CloudInit(user="ann", ssh_keys=("ssh-ed25519 A",), user_data="password: x", network={"version": 2}),
)


def template(id_: str = "tmpl-100", *disks: TemplateDisk) -> TemplateDocument:
    first = TemplateDisk(name="disk0", storage_pool=LOCAL, volume=base_name(id_, "disk0"), size_bytes=10 * GIB)
    return TemplateDocument(
        id=id_,
        uuid=f"uuid of {id_}",
        name="Golden",
        source_vm=VmId("vm-100"),
        node=NODE,
        user="ann",
        spec=general_spec(SPEC),
        nics=general_nics(SPEC.nics),
        disks=disks or (first,),
        tags=("web",),
        created_at=1.0,
    )


def vm(id_: str, *disks: Disk, phase: Phase = Phase.READY, made_from: str | None = None) -> VmDocument:
    return VmDocument(
        id=VmId(id_),
        uuid=f"uuid of {id_}",
        owner=NODE,
        phase=phase,
        spec=replace(SPEC, disks=disks),
        created_at=1.0,
        template=made_from,
    )


def linked(base: str, pool: PoolId = LOCAL) -> Disk:
    return Disk(name="disk0", storage_pool=pool, volume="any", size_gb=10, base=base)


def clone(order: CloneTemplate, of: TemplateDocument | None = None) -> VmSpec:
    macs = (f"52:54:00:00:00:{i:02x}" for i in itertools.count(0x10))
    source = of or template()
    places = [
        (pool, f"{order.new_vm_id}-{i}") for i, pool in enumerate(target_pools(source, order, frozenset({LOCAL, FAST})))
    ]
    return plan_clone(source, order, VmId(order.new_vm_id), places, lambda: next(macs))[0]


@pytest.mark.parametrize(
    ("vm_id", "wanted", "found"),
    [
        ("vm-100", None, "tmpl-100"),
        ("web", None, "tmpl-web"),
        ("vm-100", "golden", "golden"),
        ("vm-a.b", None, "tmpl-a.b"),
    ],
)
def test_a_template_is_called_after_its_vm_unless_it_is_given_an_id(vm_id: str, wanted: str | None, found: str) -> None:
    assert template_id(VmId(vm_id), wanted) == found


@pytest.mark.parametrize("wanted", ["", "a/b", "..", "x" * 64])
def test_an_id_that_is_none_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidFields):
        template_id(VmId("vm-100"), wanted)


def test_a_base_is_called_as_operators_know_it() -> None:
    assert base_name("tmpl-100", "disk0") == "base-100-disk0"
    assert base_name("golden", "disk1") == "base-golden-disk1"


def test_nothing_of_one_machine_is_taken_along() -> None:
    spec = general_spec(SPEC)
    assert (spec.disks, spec.nics, spec.cdrom) == ((), (), None)
    assert spec.cloud_init == CloudInit(user="ann", ssh_keys=("ssh-ed25519 A",))
    assert (spec.cpu_cores, spec.memory_mb, spec.machine) == (2, 512, "pc-q35-7.2")
    assert "52:54" not in repr(general_nics(SPEC.nics))
    assert general_spec(replace(SPEC, cloud_init=None)).cloud_init is None


def test_the_size_of_a_disk_is_that_of_its_volume_to_the_byte() -> None:
    volume = Volume(
        pool=LOCAL, name="vm-100-disk0", format="raw", capacity_bytes=10 * GIB + 512, allocation_bytes=0, path="/x"
    )
    disk = disk_as_it_is(SPEC.disks[0], volume)
    assert (disk.size_bytes, disk.format, disk.volume) == (10 * GIB + 512, "raw", "vm-100-disk0")


def test_a_linked_clone_stands_on_the_templates_volume_in_its_pool() -> None:
    order = CloneTemplate(new_vm_id="vm-102")
    spec = clone(order)
    assert [(d.storage_pool, d.volume, d.base, d.size_gb) for d in spec.disks] == [
        ("local", "vm-102-0", "base-100-disk0", 10.0)
    ]
    assert spec.nics == (Nic(mac="52:54:00:00:00:10", model="e1000", bridge="br0"),)
    assert spec.name == "vm-102"


def test_a_full_clone_stands_on_nothing_and_copies_the_templates_volume() -> None:
    source, order = template(), CloneTemplate(new_vm_id="c", clone_type=CloneType.FULL, storage_pool="fast")
    assert target_pools(source, order, frozenset({"local", "fast"})) == ["fast"]
    spec, disks = plan_clone(source, order, VmId("c"), [(FAST, "c-disk0")], lambda: "52:54:00:00:00:02")
    assert spec.disks[0].base is None
    assert disks[0].copy_of is not None
    assert (disks[0].copy_of.pool, disks[0].copy_of.name, disks[0].size_bytes) == ("local", "base-100-disk0", 10 * GIB)


def test_what_is_ordered_goes_before_what_the_template_has() -> None:
    spec = clone(CloneTemplate(new_vm_id="c", name="Web", cpu_cores=7, memory_mb=2048, cloud_init=None))
    assert (spec.name, spec.cpu_cores, spec.memory_mb, spec.cloud_init) == ("Web", 7, 2048, None)
    assert clone(CloneTemplate(new_vm_id="c", cloud_init=CloudInit(user="bob"))).cloud_init == CloudInit(user="bob")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    order = CloneTemplate(
        new_vm_id="c", name="", cpu_cores=0, memory_mb=0, tags=("a b",), cloud_init=CloudInit(user="Not A User")
    )
    with pytest.raises(InvalidFields) as refused:
        clone(order)
    fields = [p.field for p in refused.value.problems]
    assert fields == ["cpu_cores", "memory_mb", "name", "tags[0]", "cloud_init.user"]


def test_linked_clones_templates_of_clones_and_clones_under_way_keep_a_template() -> None:
    vms = [
        vm("linked", linked("base-100-disk0")),
        vm("elsewhere", linked("base-100-disk0", FAST)),
        vm("other", linked("base-200-disk0")),
        vm("full", made_from="tmpl-100"),
        vm("coming", phase=Phase.CREATING, made_from="tmpl-100"),
        vm("going", linked("base-100-disk0"), phase=Phase.DELETING),
    ]
    standing = TemplateDisk(name="disk0", storage_pool=LOCAL, volume="v", size_bytes=1, base="base-100-disk0")
    found = standing_on(template(), vms, [template(), template("tmpl-9", standing), template("tmpl-8")])
    assert found == {
        "coming": "being made from it",
        "going": "linked clone",
        "linked": "linked clone",
        "tmpl-9": "template made of a linked clone",
    }


@given(st.lists(st.sampled_from(["a", "b", "c"]), unique=True), st.lists(st.sampled_from(["a", "b", "c"]), unique=True))
def test_a_template_is_kept_by_exactly_the_vms_that_share_a_base_with_it(own: list[str], bases: list[str]) -> None:
    disks = [TemplateDisk(name=v, storage_pool=LOCAL, volume=v, size_bytes=1) for v in own]
    source = replace(template(), disks=tuple(disks))
    found = standing_on(source, [vm(f"on-{base}", linked(base)) for base in bases], [])
    assert set(found) == {f"on-{base}" for base in set(own) & set(bases)}
