"""Bodies of the calls about a VM's snapshots. Times are epoch seconds."""

from enum import StrEnum
from typing import Self

import msgspec

from horcrux.compute.vm import SnapshotPhase, VmDocument, VmSnapshot


class Freeze(StrEnum):
    """Whether the guest's file systems are frozen while its disks are taken."""

    AUTO = "auto"
    """When a guest agent answers."""
    ALWAYS = "always"
    """Without an agent the snapshot is refused."""
    NEVER = "never"


class NewSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`memory`: with the guest's memory, so that a revert goes on where it was; it stands still while that is written.
    `freeze` says nothing of a VM that does not run, nor together with `memory`."""

    name: str
    description: str = ""
    memory: bool = False
    freeze: Freeze = Freeze.AUTO


class Revert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`start`: null leaves the VM as it was when the snapshot was taken: running if it ran (with its memory it goes on where it
    was, without it boots), else stopped."""

    start: bool | None = None


class SnapshotView(msgspec.Struct, frozen=True, kw_only=True):
    """`is_current`: the VM's disks stand on it. `is_consistent`: what is on the disks is whole, since file systems were frozen,
    the guest did not run, or its memory is kept too; else it is as after a power cut."""

    name: str
    description: str
    created_at: int
    parent: str | None
    is_current: bool
    has_memory: bool
    is_consistent: bool
    was_running: bool
    state: SnapshotPhase
    size_bytes: int | None
    """What its deletion would free at least, memory included; null where the pools cannot tell (qcow2)."""

    @classmethod
    def of(cls, document: VmDocument, snapshot: VmSnapshot, size_bytes: int | None) -> Self:
        return cls(
            name=snapshot.name,
            description=snapshot.description,
            created_at=int(snapshot.created_at),
            parent=snapshot.parent,
            is_current=document.snapshot == snapshot.name,
            has_memory=snapshot.has_memory,
            is_consistent=snapshot.is_consistent,
            was_running=snapshot.was_running,
            state=snapshot.phase,
            size_bytes=size_bytes,
        )
