"""The tree of a VM's snapshots in its document."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from horcrux.compute.snapshot import (
    MAX_SNAPSHOTS,
    begin,
    begin_revert,
    check_can_revert,
    check_no_snapshots,
    check_snapshot_name,
    complete,
    doom,
    end_revert,
    find_snapshot,
    without,
)
from horcrux.compute.vm import Disk, Phase, SnapshotPhase, VmDocument, VmSnapshot, VmSpec
from horcrux.errors import AlreadyExists, Conflict, InUse, Invalid, NotFound
from horcrux.ids import NodeId, PoolId, TaskId, VmId

SPEC = VmSpec(
    name="one",
    cpu_cores=1,
    memory_mb=64,
    disks=(Disk(name="disk0", storage_pool=PoolId("local"), volume="vm-1-disk0", size_gb=1),),
)
VM = VmDocument(id=VmId("vm-1"), uuid="u", owner=NodeId("n1"), spec=SPEC, created_at=0.0)


def snapshot(document: VmDocument, name: str) -> VmSnapshot:
    return VmSnapshot(
        name=name,
        created_at=1.0,
        parent=document.snapshot,
        has_memory=False,
        was_running=False,
        spec=document.spec,
        seed=document.seed,
    )


def taken(document: VmDocument, name: str) -> VmDocument:
    return complete(begin(document, snapshot(document, name)), name, is_consistent=True, memory_bytes=0)


def reverted(document: VmDocument, name: str) -> VmDocument:
    return end_revert(begin_revert(document, name, TaskId("t")))


def parents(document: VmDocument) -> dict[str, str | None]:
    return {s.name: s.parent for s in document.snapshots}


@pytest.mark.parametrize("name", ["a", "A1", "before-update", "v1.2_b", "x" * 40])
def test_a_name_of_letters_digits_and_marks_is_taken(name: str) -> None:
    assert check_snapshot_name(name, "name") == name


@pytest.mark.parametrize(
    "name", ["", "1", "7up", "-a", ".a", "_base_", "a b", "a@b", "a/b", "a+b", "a..b", "ä", "a\n", "x" * 41]
)
def test_a_name_that_a_tool_would_misread_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        check_snapshot_name(name, "name")


def test_a_snapshot_that_is_being_made_is_not_stood_on_yet() -> None:
    begun = begin(VM, snapshot(VM, "s"))
    assert (begun.snapshots[0].phase, begun.snapshot) == (SnapshotPhase.CREATING, None)
    with pytest.raises(Conflict, match="creating"):
        check_can_revert(begun, "s")
    assert complete(begun, "s", is_consistent=True, memory_bytes=5).snapshot == "s"


def test_a_taken_name_a_full_tree_and_a_vm_that_is_not_whole_are_refused() -> None:
    with pytest.raises(AlreadyExists):
        begin(taken(VM, "s"), snapshot(VM, "s"))
    full = VM
    for number in range(MAX_SNAPSHOTS):
        full = taken(full, f"s{number}")
    with pytest.raises(Conflict, match=str(MAX_SNAPSHOTS)):
        begin(full, snapshot(full, "more"))
    with pytest.raises(Conflict, match="deleting"):
        begin(replace(VM, phase=Phase.DELETING), snapshot(VM, "s"))


def test_a_revert_restores_spec_and_seed_and_what_is_next_branches_off() -> None:
    document = taken(VM, "a")
    changed = replace(document, spec=replace(SPEC, cpu_cores=4), seed=3, tags=("new",))
    document = taken(changed, "b")
    going = begin_revert(document, "a", TaskId("t"))
    assert (going.phase, going.reverting, going.operation) == (Phase.REVERTING, "a", "t")
    back = end_revert(going)
    assert (back.phase, back.reverting, back.snapshot) == (Phase.READY, None, "a")
    assert (back.spec, back.seed, back.tags) == (SPEC, 0, ("new",))
    assert parents(taken(back, "c")) == {"a": None, "b": "a", "c": "a"}


def test_a_vm_that_is_on_its_way_back_can_be_sent_elsewhere_but_not_be_taken() -> None:
    going = begin_revert(taken(taken(VM, "a"), "b"), "a", TaskId("t"))
    assert begin_revert(going, "b", TaskId("u")).reverting == "b"
    with pytest.raises(Conflict, match="reverting"):
        begin(going, snapshot(going, "c"))


def test_a_vm_with_other_disks_than_then_is_not_reverted_and_the_disks_are_named() -> None:
    document = taken(VM, "s")
    more = Disk(name="disk1", storage_pool=PoolId("local"), volume="vm-1-disk1", size_gb=1)
    added = replace(document, spec=replace(SPEC, disks=(*SPEC.disks, more)))
    with pytest.raises(Conflict, match="disk1 came after it"):
        check_can_revert(added, "s")
    moved = replace(document, spec=replace(SPEC, disks=(replace(SPEC.disks[0], storage_pool=PoolId("fast")),)))
    with pytest.raises(Conflict, match="disk0 has gone since"):
        check_can_revert(moved, "s")
    grown = replace(document, spec=replace(SPEC, disks=(replace(SPEC.disks[0], size_gb=9),)))
    assert reverted(grown, "s").spec == SPEC


def test_a_doomed_snapshot_can_only_go() -> None:
    doomed = doom(taken(VM, "s"), "s")
    with pytest.raises(Conflict, match="deleting"):
        check_can_revert(doomed, "s")
    assert without(doomed, "s").snapshots == ()
    with pytest.raises(NotFound):
        without(VM, "s")


def test_what_must_not_happen_to_a_vm_with_snapshots_names_them() -> None:
    check_no_snapshots(VM, "move disk0")
    with pytest.raises(InUse, match=r"cannot move disk0: VM vm-1 has snapshots \(a, b\)"):
        check_no_snapshots(taken(taken(VM, "a"), "b"), "move disk0")
    many = VM
    for number in range(12):
        many = taken(many, f"s{number}")
    with pytest.raises(InUse, match="and 4 more"):
        check_no_snapshots(many, "move disk0")


@given(st.lists(st.tuples(st.sampled_from(["take", "revert", "delete"]), st.integers(0, 9)), max_size=40))
def test_whatever_is_done_every_parent_is_there_and_older_and_the_vm_stands_on_one(acts: list[tuple[str, int]]) -> None:
    document, made = VM, 0
    for act, which in acts:
        names = [s.name for s in document.snapshots]
        if act == "take":
            document, made = taken(document, f"s{made}"), made + 1
        elif names and act == "revert":
            document = reverted(document, names[which % len(names)])
        elif names:
            document = without(doom(document, names[which % len(names)]), names[which % len(names)])
        order = [s.name for s in document.snapshots]
        for s in document.snapshots:
            assert s.parent is None or order.index(s.parent) < order.index(s.name)
        if document.snapshot is not None:
            assert find_snapshot(document, document.snapshot).phase is SnapshotPhase.READY
