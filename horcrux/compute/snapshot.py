"""Snapshots of a VM in its document: what may be done with them, and how the document changes.

    (none) --begin--> creating --complete--> ready --doom--> deleting --without--> (none)
                          '--without--> (none)

They are a tree: a new one stands on what the disks stood on. What is deleted leaves its children to its parent.
Everything here is pure; each change becomes true when the document is replaced by compare-and-swap.
"""

import re
from collections.abc import Sequence

from msgspec.structs import replace

from horcrux.compute.settled import check_settled
from horcrux.compute.vm import Phase, SnapshotPhase, VmDocument, VmSnapshot
from horcrux.errors import AlreadyExists, Conflict, InUse, NotFound, invalid_field
from horcrux.ids import TaskId

MAX_SNAPSHOTS = 64
"""For each VM. QEMU reads a qcow2 file's whole table of them at every start."""
MAX_DESCRIPTION = 1024

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}\Z")


def check_snapshot_name(value: str, field: str) -> str:
    """`value`, when it is 1 to 40 letters, digits, `.`, `_` or `-` and begins with a letter: QEMU takes a number for the id of a
    snapshot before it looks for a name (block/snapshot.c), and ZFS knows no other signs."""
    if not _NAME.match(value) or ".." in value:
        raise invalid_field(field, "1 to 40 letters, digits, '.', '_' or '-', beginning with a letter, without '..'")
    return value


def check_description(value: str, field: str) -> str:
    if len(value) > MAX_DESCRIPTION or "\0" in value:
        raise invalid_field(field, f"at most {MAX_DESCRIPTION} characters, none of them NUL")
    return value


def find_snapshot(document: VmDocument, name: str) -> VmSnapshot:
    """NotFound."""
    for snapshot in document.snapshots:
        if snapshot.name == name:
            return snapshot
    raise NotFound(f"VM {document.id} has no snapshot {name}", kind="snapshot", vm=document.id, id=name)


def check_can_begin(document: VmDocument, name: str) -> None:
    """AlreadyExists, Conflict: the name is taken, there are as many as there may be, or the VM is not whole."""
    check_settled(document)
    if document.phase is not Phase.READY:
        raise Conflict(f"cannot take a snapshot of VM {document.id}: it is {document.phase}", state=str(document.phase))
    if any(snapshot.name == name for snapshot in document.snapshots):
        words = f"VM {document.id} has a snapshot {name} already"
        raise AlreadyExists(words, kind="snapshot", vm=document.id, id=name)
    if len(document.snapshots) >= MAX_SNAPSHOTS:
        words = f"VM {document.id} has {MAX_SNAPSHOTS} snapshots, and no VM may have more; delete one first"
        raise Conflict(words, limit=MAX_SNAPSHOTS)


def begin(document: VmDocument, snapshot: VmSnapshot) -> VmDocument:
    """With `snapshot` in it, which is being made."""
    check_can_begin(document, snapshot.name)
    return replace(document, snapshots=(*document.snapshots, snapshot))


def complete(document: VmDocument, name: str, *, is_consistent: bool, memory_bytes: int) -> VmDocument:
    """`name` is there, and what the disks stand on."""
    done = {"phase": SnapshotPhase.READY, "is_consistent": is_consistent, "memory_bytes": memory_bytes}
    return replace(_changed(document, name, **done), snapshot=name)


def doom(document: VmDocument, name: str) -> VmDocument:
    """`name` is being deleted, and can no longer be reverted to."""
    return _changed(document, name, phase=SnapshotPhase.DELETING)


def without(document: VmDocument, name: str) -> VmDocument:
    """`name` is gone; its children, and what stood on it, stand on its parent."""
    gone = find_snapshot(document, name)
    left = tuple(
        replace(other, parent=gone.parent) if other.parent == name else other
        for other in document.snapshots
        if other.name != name
    )
    stands_on = gone.parent if document.snapshot == name else document.snapshot
    return replace(document, snapshots=left, snapshot=stands_on)


def check_can_revert(document: VmDocument, name: str) -> VmSnapshot:
    """The snapshot. NotFound; Conflict when it is not whole, or when the VM has not the same volumes as then."""
    snapshot = find_snapshot(document, name)
    if document.phase not in {Phase.READY, Phase.REVERTING}:
        raise Conflict(f"cannot revert VM {document.id}: it is {document.phase}", state=str(document.phase))
    if snapshot.phase is not SnapshotPhase.READY:
        words = f"snapshot {name} of VM {document.id} is {snapshot.phase}; nothing can be reverted to it"
        raise Conflict(words, state=str(snapshot.phase))
    had = {(disk.storage_pool, disk.volume): disk.name for disk in snapshot.spec.disks}
    has = {(disk.storage_pool, disk.volume): disk.name for disk in document.spec.disks}
    if had != has:
        added = sorted(has[volume] for volume in has.keys() - had.keys())
        lost = sorted(had[volume] for volume in had.keys() - has.keys())
        parts = [f"{', '.join(added)} came after it"] * bool(added) + [f"{', '.join(lost)} has gone since"] * bool(lost)
        words = f"VM {document.id} has other disks than snapshot {name}: {' and '.join(parts) or 'their names differ'}"
        raise Conflict(words, added=added, lost=lost)
    return snapshot


def begin_revert(document: VmDocument, name: str, task: TaskId) -> VmDocument:
    """From here on the VM is nothing else than on its way to that snapshot."""
    check_can_revert(document, name)
    return replace(document, phase=Phase.REVERTING, reverting=name, operation=task)


def end_revert(document: VmDocument) -> VmDocument:
    """It is as it was at the snapshot, its settings included; tags and notes stay. `operation` still names the task, so that a
    cut-off one is known to have come this far."""
    snapshot = find_snapshot(document, document.reverting or "")
    return replace(
        document,
        phase=Phase.READY,
        reverting=None,
        spec=snapshot.spec,
        seed=snapshot.seed,
        snapshot=snapshot.name,
    )


def check_no_snapshots(document: VmDocument, act: str) -> None:
    """InUse, naming them: `act` ("move disk0") cannot be done while the VM has snapshots."""
    if not document.snapshots:
        return
    names = [snapshot.name for snapshot in document.snapshots]
    words = f"cannot {act}: VM {document.id} has snapshots ({_listed(names)}); delete them first"
    raise InUse(words, vm=document.id, snapshots=names)


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _changed(document: VmDocument, name: str, **values: object) -> VmDocument:
    find_snapshot(document, name)
    changed = tuple(replace(s, **values) if s.name == name else s for s in document.snapshots)
    return replace(document, snapshots=changed)
