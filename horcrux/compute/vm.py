"""A virtual machine: what is wanted (a document in the Store) and what is seen (asked of the hypervisor).

Wanted and seen never mix: `VmDocument` holds no run state, `VmSeen` holds nothing that was configured.
Sizes: `memory_mb` MiB, `size_gb` GiB (contract notes, section 1).
"""

import hashlib
import re
from enum import StrEnum

import msgspec

from horcrux.ids import NodeId, PoolId, TaskId, VmId

_SEALED = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Architecture(StrEnum):
    X86_64 = "x86_64"
    AARCH64 = "aarch64"
    RISCV64 = "riscv64"


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class DiskBus(StrEnum):
    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"


class DiskCache(StrEnum):
    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class RunState(StrEnum):
    """What the hypervisor says, plus `creating`, `deleting` and `reverting` from the document's phase."""

    CREATING = "creating"
    STOPPED = "stopped"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    """The guest was asked to shut down and is doing so."""
    CRASHED = "crashed"
    DELETING = "deleting"
    REVERTING = "reverting"
    """Its disks are going back to a snapshot."""
    UNKNOWN = "unknown"
    """The hypervisor has not answered yet."""


ALIVE = frozenset({RunState.RUNNING, RunState.PAUSED, RunState.STOPPING})
"""A QEMU has the disks open."""
OFF = frozenset({RunState.STOPPED, RunState.CRASHED})
"""No QEMU has, and none is going to by itself."""


class Phase(StrEnum):
    """Life of the document: only a `ready` VM can be used; the others belong to the task in `operation`."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"
    REVERTING = "reverting"
    """To the snapshot in `reverting`: what was begun is done to the end."""


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as the VM has it. `name` is `disk0`, `disk1`, …, stable for the life of the VM."""

    name: str
    storage_pool: PoolId
    volume: str
    size_gb: float
    bus: DiskBus = DiskBus.VIRTIO
    cache: DiskCache = DiskCache.NONE
    format: str = "qcow2"
    base: str | None = None
    """The volume of the same pool that its volume is a linked clone of: a template's, which cannot go while this is here."""


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A network card. Without `bridge` and `vnet` it is joined to QEMU's user-mode network (out by NAT, nothing in)."""

    mac: str
    model: str = "virtio"
    bridge: str | None = None
    vnet: str | None = None


class CloudInit(msgspec.Struct, frozen=True, kw_only=True):
    """NoCloud seed (cloudinit.readthedocs.io, NoCloud). `network` is a version 1 or 2 network config, `user_data` goes in
    as it is."""

    user: str | None = None
    ssh_keys: tuple[str, ...] = ()
    network: dict[str, object] | None = None
    user_data: str | None = None


class VmSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a hypervisor needs to define the VM; the part of the document that users change."""

    name: str
    cpu_cores: int
    memory_mb: int
    architecture: Architecture = Architecture.X86_64
    firmware: Firmware = Firmware.BIOS
    machine: str | None = None
    """QEMU machine type; None is q35 on x86_64, virt elsewhere."""
    cpu_model: str | None = None
    """None: the host's CPU under hardware acceleration, QEMU's `max` in emulation."""
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    cdrom: str | None = None
    """`<pool>/<image>` of an ISO image."""
    cloud_init: CloudInit | None = None


def sealed(spec: VmSpec) -> VmSpec:
    """`spec` without what may be secret: in place of user-data, where passwords stand, its digest. Sealing twice changes
    nothing, so what is sealed can be compared with what is not."""
    seed = spec.cloud_init
    if seed is None or seed.user_data is None or is_sealed(seed.user_data):
        return spec
    digest = hashlib.sha256(seed.user_data.encode(errors="surrogatepass")).hexdigest()
    return msgspec.structs.replace(spec, cloud_init=msgspec.structs.replace(seed, user_data=f"sha256:{digest}"))


def is_sealed(user_data: str) -> bool:
    """Whether this is what `sealed` puts in place of user-data."""
    return _SEALED.match(user_data) is not None


class SnapshotPhase(StrEnum):
    """Only a `ready` snapshot can be reverted to; the other two belong to a task, or to what a cut-off one left."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


class VmSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A VM as it was: its disks (under the same name in each volume), perhaps its memory, and its spec."""

    name: str
    description: str = ""
    created_at: float
    parent: str | None
    """The snapshot that the disks stood on when it was taken."""
    phase: SnapshotPhase = SnapshotPhase.CREATING
    has_memory: bool
    is_consistent: bool = False
    """What is on the disks is whole: file systems were frozen, the guest did not run, or its memory is here too."""
    was_running: bool
    spec: VmSpec
    seed: int = 0
    memory_bytes: int = 0


class VmDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `vm` in the Store."""

    id: VmId
    uuid: str
    """The domain's UUID; made once, so that a name used again is another machine."""
    owner: NodeId
    epoch: int = 1
    phase: Phase = Phase.READY
    operation: TaskId | None = None
    """The task that created or deletes it; a reference only, ignored once that task is over."""
    spec: VmSpec
    tags: tuple[str, ...] = ()
    notes: str = ""
    autostart: bool = False
    created_at: float
    seed: int = 0
    """Counts changes of the cloud-init seed; part of its instance id."""
    user: str = ""
    """Who made it; its disks count towards this user's quota."""
    moving: dict[str, str] = {}
    """Disks that the guest is being given another volume for, and that volume: `<pool>/<volume>`. Which of the two is right is
    then known to the hypervisor alone, so the VM is not defined anew while anything stands here."""
    snapshots: tuple[VmSnapshot, ...] = ()
    """Oldest first."""
    snapshot: str | None = None
    """What the disks now stand on: the snapshot taken or reverted to last."""
    reverting: str | None = None
    """While the phase is `reverting`."""
    template: str | None = None
    """What it was cloned from, which may be gone by now unless a disk has a `base`."""


class VmSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the hypervisor says of one domain."""

    id: VmId
    state: RunState
    reason: str = ""
    """Why it is in that state, in the hypervisor's words: `shutdown`, `destroyed`, `crashed`."""
    since: float | None = None
    applied: VmSpec | None = None
    """The spec the running guest was started with; what differs from the document is pending until a restart."""
