"""Bodies of the VM calls, as `horcrux.md` and our additions have them. Times are epoch seconds, sizes GiB and MiB."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from horcrux.compute.vm import Architecture, CloudInit, DiskBus, DiskCache, Firmware, RunState


class NewDisk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`image` names an image of that pool to begin from; then `size_gb` may be left out (the image's own size) or be larger."""

    storage_pool: str = "local"
    size_gb: float | None = None
    image: str | None = None
    bus: DiskBus = DiskBus.VIRTIO
    cache: DiskCache = DiskCache.NONE


class NewNic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    vnet: str | None = None
    bridge: str | None = None
    mac: str | None = None
    model: str = "virtio"


class NewVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`id` may be left out: the next free `vm-<n>` from 100 is taken."""

    id: str | None = None
    name: str | None = None
    """None: as the id."""
    cpu_cores: int = 1
    memory_mb: int = 1024
    disks: tuple[NewDisk, ...] = ()
    architecture: Architecture | None = None
    """None: this host's."""
    firmware: Firmware = Firmware.BIOS
    machine: str | None = None
    cpu_model: str | None = None
    tags: tuple[str, ...] = ()
    notes: str = ""
    autostart: bool = False
    node: str | None = None
    """Name or id of the node that is to run it; None: this one."""
    cloud_init: CloudInit | None = None
    nics: tuple[NewNic, ...] | None = None
    """None: one card on QEMU's user-mode network. An empty list: none."""
    cdrom: str | None = None
    """An ISO image: `<pool>/<image>`, or the name of one of pool `local`."""
    start: bool = False


class VmChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is; null clears where null is allowed."""

    name: str | UnsetType = UNSET
    cpu_cores: int | UnsetType = UNSET
    memory_mb: int | UnsetType = UNSET
    firmware: Firmware | UnsetType = UNSET
    machine: str | UnsetType | None = UNSET
    cpu_model: str | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    notes: str | UnsetType = UNSET
    autostart: bool | UnsetType = UNSET
    nics: tuple[NewNic, ...] | UnsetType = UNSET
    cdrom: str | UnsetType | None = UNSET
    cloud_init: CloudInit | UnsetType | None = UNSET


class VmListItem(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `GET /api/vms`: the documented fields, and what a list needs beside them."""

    id: str
    name: str
    status: RunState
    cpu_cores: int
    memory_mb: int
    architecture: Architecture
    node: str
    tags: tuple[str, ...]
    operation: str | None
    """Id of the task that works on it now."""
    revision: int


class DiskView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    storage_pool: str
    volume: str
    size_gb: float
    bus: DiskBus
    cache: DiskCache
    format: str
    base: str | None
    """The template's volume of the same pool that it is a linked clone of."""


class NicView(msgspec.Struct, frozen=True, kw_only=True):
    mac: str
    model: str
    bridge: str | None
    vnet: str | None


class PendingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that the running guest will see after its next start."""

    field: str
    running: object
    wanted: object


class AllowedAction(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` says why not, for the disabled button."""

    allowed: bool
    reason: str = ""


class VmView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    status: RunState
    status_reason: str
    since: float | None
    cpu_cores: int
    memory_mb: int
    architecture: Architecture
    firmware: Firmware
    machine: str | None
    cpu_model: str | None
    disks: tuple[DiskView, ...]
    nics: tuple[NicView, ...]
    cdrom: str | None
    cloud_init: CloudInit | None
    node: str
    owner: str
    uuid: str
    tags: tuple[str, ...]
    notes: str
    autostart: bool
    created_at: int
    operation: str | None
    pending: tuple[PendingChange, ...]
    allowed_actions: dict[str, AllowedAction]
    """By verb: start, stop, shutdown, reboot, reset, pause, resume, delete, update, console, clone."""
    snapshots: int = 0
    """How many there are."""
    reverting: str | None = None
    """The snapshot that it is on its way back to."""
    revision: int
    """The ETag's number, for If-Match."""


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`force`: pull the plug when the guest has not shut down by itself within `timeout_s`; else the call fails then."""

    timeout_s: int = 60
    force: bool = False


class SendKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of the two. `keys` is one chord, pressed together."""

    text: str | None = None
    keys: tuple[str, ...] | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """`wait_s`: when another task works on the VM, wait in the queue for so long instead of 409 at once."""

    wait_s: Annotated[int, Meta(ge=0, le=3600)] = 0
