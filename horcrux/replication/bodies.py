"""Bodies of the replication calls. Times are epoch seconds."""

from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from horcrux.replication.replication import ReplicationDocument, ReplicationState, Status

EVERY_QUARTER = "*/15 * * * *"


class NewReplication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`schedule` is a cron expression in UTC."""

    id: str | None = None
    """None: as the VM's id, with a number when that is taken."""
    vm_id: str
    peer: str
    target_pool: str
    """A ZFS pool of the peer."""
    schedule: str = EVERY_QUARTER
    bandwidth_limit_mib_s: float | None = None
    is_enabled: bool = True


class ReplicationChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. VM, peer and pool cannot change: that is another replication."""

    schedule: str | UnsetType = UNSET
    bandwidth_limit_mib_s: float | UnsetType | None = UNSET
    is_enabled: bool | UnsetType = UNSET


class RunReplication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`afresh`: the replica is deleted at the peer first, and everything is sent anew."""

    afresh: bool = False


class EndReplication(msgspec.Struct, frozen=True, kw_only=True):
    """`delete_replica`: the volumes at the peer go too. `force`: also when the peer cannot be asked; it keeps its replica."""

    delete_replica: bool = False
    force: bool = False


class ReplicationView(msgspec.Struct, frozen=True, kw_only=True):
    """`last_bytes` were sent by the last run. `is_resumable`: a stream was cut off, the next run goes on where it stopped."""

    id: str
    vm_id: str
    node: str
    peer: str
    target_pool: str
    schedule: str
    bandwidth_limit_mib_s: float | None
    is_enabled: bool
    state: Status
    operation: str | None
    """The task that works on it."""
    last_success_at: int | None
    last_finished_at: int | None
    last_error: str | None
    next_run_at: int | None
    last_bytes: int
    is_resumable: bool
    is_consistent: bool
    """The guest's file systems were frozen for the last whole replica; otherwise it is as after a power cut."""
    snapshot: str | None
    """The last that arrived whole."""
    created_at: int
    revision: int

    @classmethod
    def of(
        cls,
        document: ReplicationDocument,
        state: ReplicationState,
        revision: int,
        *,
        status: Status,
        operation: str | None,
        next_run_at: float | None,
    ) -> Self:
        return cls(
            id=document.id,
            vm_id=document.vm_id,
            node=document.node,
            peer=document.peer,
            target_pool=document.target_pool,
            schedule=document.schedule,
            bandwidth_limit_mib_s=document.bandwidth_limit_mib_s,
            is_enabled=document.is_enabled,
            state=status,
            operation=operation,
            last_success_at=_whole(state.success_at),
            last_finished_at=_whole(state.finished_at),
            last_error=state.error,
            next_run_at=_whole(next_run_at),
            last_bytes=state.bytes_sent,
            is_resumable=state.pending is not None and status is not Status.RUNNING,
            is_consistent=state.is_consistent,
            snapshot=state.snapshot,
            created_at=int(document.created_at),
            revision=revision,
        )


def _whole(at: float | None) -> int | None:
    return None if at is None else int(at)
