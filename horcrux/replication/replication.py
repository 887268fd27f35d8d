"""A replication: a VM's volumes are kept as read-only replicas in a pool of a peer.

    idle --due, or asked--> running --> idle
                                '----> failed --after a while--> running
    disabled: nothing is due

Wanted (`ReplicationDocument`) and what became of it (`ReplicationState`) are two documents, so that a run never makes an
operator's If-Match stale.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from horcrux.errors import invalid_field
from horcrux.ids import NodeId, PoolId, TaskId, VmId
from horcrux.replication.peer import PeerName
from horcrux.units import MIB

ReplicationId = NewType("ReplicationId", str)
MAX_LIMIT_MIB_S = 100_000.0
MIN_LIMIT_MIB_S = 0.01


class VolumeRef(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of this node, as the VM's disk `disk`."""

    pool: PoolId
    volume: str
    disk: str


class ReplicationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `replication` in the Store. `node` is where the VM is and the runs happen."""

    id: ReplicationId
    vm_id: VmId
    node: NodeId
    peer: PeerName
    target_pool: str
    schedule: str
    bandwidth_limit_mib_s: float | None = None
    is_enabled: bool = True
    created_at: float


class ReplicationState(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `replication-state`. `number` is the last one given to a snapshot; `pending` a snapshot that was taken and has not
    arrived whole; `snapshot` the last that has. `volumes` are all that may still carry snapshots of ours."""

    id: ReplicationId
    number: int = 0
    pending: str | None = None
    snapshot: str | None = None
    volumes: tuple[VolumeRef, ...] = ()
    task: TaskId | None = None
    """The run that is under way, or was when the agent died."""
    started_at: float | None = None
    finished_at: float | None = None
    success_at: float | None = None
    error: str | None = None
    failures: int = 0
    bytes_sent: int = 0
    """By the last run, also by one that failed."""
    is_consistent: bool = False
    """The file systems of the guest stood still when `snapshot` was taken."""
    is_pending_consistent: bool = False
    """The same of `pending`."""


class Status(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    FAILED = "failed"
    DISABLED = "disabled"


def status_of(document: ReplicationDocument, state: ReplicationState, *, is_running: bool) -> Status:
    if is_running:
        return Status.RUNNING
    if not document.is_enabled:
        return Status.DISABLED
    return Status.FAILED if state.failures else Status.IDLE


def check_limit(value: float | None, field: str) -> float | None:
    """MiB/s, or None for no limit."""
    if value is not None and not MIN_LIMIT_MIB_S <= value <= MAX_LIMIT_MIB_S:
        raise invalid_field(field, f"{MIN_LIMIT_MIB_S:g} to {MAX_LIMIT_MIB_S:g} MiB/s, or null for no limit")
    return value


def limit_bytes_per_s(document: ReplicationDocument) -> float | None:
    limit = document.bandwidth_limit_mib_s
    return None if limit is None else limit * MIB
