"""What a hypervisor must be able to do. Implementations: `libvirt.py`, `fake.py`; one conformance suite for both.

A driver touches only domains that carry its node's id. It knows no documents and no policy: `admit()` has been asked before.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol

import msgspec

from horcrux.compute.domain import DomainDisk, DomainPlan
from horcrux.compute.vm import VmSeen
from horcrux.ids import VmId


class Sighting(msgspec.Struct, frozen=True):
    """What a watch yields.

    `full`: `seen` is every domain of this node, what is not in it does not exist (first item, and after each reconnect).
    `change`: `seen` holds the one domain that changed. `gone`: the domain in `seen` is no longer defined.
    `lost`: the hypervisor does not answer; states are unknown until the next `full`.
    """

    kind: Literal["full", "change", "gone", "lost"]
    seen: tuple[VmSeen, ...] = ()


class Hypervisor(Protocol):
    """All calls raise NotFound for a domain that is not defined (unless said otherwise), Unreachable when the hypervisor
    does not answer, HostLacks when this host cannot run what the plan asks for."""

    async def define(self, plan: DomainPlan) -> None:
        """The domain is defined as `plan` says; a running one takes it at its next start. Idempotent."""
        ...

    async def undefine(self, vm_id: VmId) -> None:
        """The definition, its firmware variables and its run-time files are gone; no error when they were before.
        Conflict while it runs."""
        ...

    async def start(self, vm_id: VmId) -> None:
        """It runs. Conflict when it runs already or is paused."""
        ...

    async def stop(self, vm_id: VmId) -> None:
        """It does not run, at once (the plug). Conflict ("… is stopped") when it did not run."""
        ...

    async def shutdown(self, vm_id: VmId) -> None:
        """The guest has been asked by ACPI to shut down; returns at once. Conflict when it is not running."""
        ...

    async def reboot(self, vm_id: VmId) -> None:
        """The guest has been asked to reboot. Conflict when it is not running."""
        ...

    async def reset(self, vm_id: VmId) -> None:
        """The reset button. Conflict when it is not running."""
        ...

    async def pause(self, vm_id: VmId) -> None:
        """Its processors stand still. Conflict when it is not running."""
        ...

    async def resume(self, vm_id: VmId) -> None:
        """Its processors run again. Conflict when it is not paused."""
        ...

    async def look(self, vm_id: VmId) -> VmSeen:
        """What it is doing now. `applied` is the spec it was started with, None when it does not run."""
        ...

    async def list(self) -> list[VmSeen]:
        """Every domain of this node, by id; `applied` as in `look`."""
        ...

    def watch(self) -> AsyncGenerator[Sighting, None]:
        """A `full` sighting, then what changes, within 2 s of the change, whoever made it. Close with `aclose()`."""
        ...


class DiskCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a running guest's disk on its way. `is_ready`: it has all that was written, and gets what is written now."""

    done_bytes: int
    total_bytes: int
    is_ready: bool


class BlockJobs(Protocol):
    """A hypervisor that can work on the disks of a guest while that runs. `disk` is the name in the spec (`disk0`).

    NotFound for a domain or a disk that is not defined, Conflict where the guest has to run and does not.
    """

    async def disk_path(self, vm_id: VmId, disk: str) -> str:
        """Path (`without_options`) of what the guest has open as that disk; of one that does not run, of what its definition
        names. A switch changes
        both, so this tells after any crash which of two volumes has the newest content, until somebody defines it anew."""
        ...

    async def start_copy(self, vm_id: VmId, disk: str, target: DomainDisk) -> None:
        """All of the disk is being copied to `target`, which is there and large enough. The guest goes on with the old one.
        Conflict when it is being copied already."""
        ...

    async def look_at_copy(self, vm_id: VmId, disk: str) -> DiskCopy | None:
        """None when there is none: never begun, dropped, switched, or ended by an error (the guest goes on with the old one)
        or with the guest."""
        ...

    async def switch(self, vm_id: VmId, disk: str) -> None:
        """The guest has the copy open and no longer the old one, and the definition names it. Conflict unless it is ready."""
        ...

    async def drop_copy(self, vm_id: VmId, disk: str) -> None:
        """The copy under way is given up, and its target closed; idempotent, also for a guest that does not run."""
        ...

    async def grow_disk(self, vm_id: VmId, disk: str, capacity_bytes: int) -> None:
        """The guest sees a disk of that size; a file has been made larger for it, a device is that large already."""
        ...


class Keyboard(Protocol):
    """A hypervisor that can type into a guest."""

    async def send_keys(self, vm_id: VmId, chords: Sequence[Sequence[str]]) -> None:
        """Presses each chord (`["ctrl", "alt", "delete"]`, `["shift", "a"]`) in order; names as in `horcrux.compute.keys`.
        Invalid for an unknown key, Conflict when the VM does not run."""
        ...


class GuestSnapshots(Protocol):
    """A hypervisor that can hold a guest still, and keep its disks and its memory. NotFound, Unreachable as in `Hypervisor`.

    `freeze` and `hold` end by themselves when this process dies; whoever calls them records the undo all the same.
    """

    async def has_agent(self, vm_id: VmId) -> bool:
        """Whether a guest agent answers now; False for a VM that does not run."""
        ...

    async def freeze(self, vm_id: VmId) -> None:
        """The guest's file systems are written out and take no more writes, until `thaw`, for 15 s at most. Unavailable when
        the agent has not done it within 10 s (`thaw` is needed then too)."""
        ...

    async def thaw(self, vm_id: VmId) -> bool:
        """They take writes; no error when they did before, or when the VM does not run. True when they stood still until
        now. Unavailable without an answer."""
        ...

    async def hold(self, vm_id: VmId) -> None:
        """Its processors stand still until `release`. Conflict when it is not running."""
        ...

    async def release(self, vm_id: VmId) -> None:
        """Its processors run again; no error when they did before, or when the VM does not run."""
        ...

    async def snapshot_disks(self, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
        """Each of these qcow2 disks (`disk0`) has an internal snapshot of that name, all of one time, or none has.
        AlreadyExists; Conflict when the VM does not run."""
        ...

    async def delete_disk_snapshots(self, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
        """They are gone, also when they were gone before. Conflict when the VM does not run."""
        ...

    async def save_memory(self, vm_id: VmId, path: str) -> None:
        """`path`, which is replaced, holds memory and devices of a guest that is paused, and stays so. Its disks cannot be
        taken from here on until it goes on. Conflict when it is not paused. A call that is cancelled stops writing."""
        ...

    async def restore_memory(self, vm_id: VmId, path: str) -> None:
        """The stopped guest goes on where it was when `path` was saved. Conflict when it runs; Unavailable when the file
        cannot be used."""
        ...


class ConsolePaths(Protocol):
    """Where the guest's screen and serial line are met."""

    def vnc_socket(self, vm_id: VmId) -> str:
        """Path of the Unix socket that speaks RFB (at most 107 bytes)."""
        ...

    def serial_socket(self, vm_id: VmId) -> str:
        """Path of the Unix socket of the serial line; one reader at a time."""
        ...

    def serial_log(self, vm_id: VmId) -> str:
        """Path of the file that holds what the guest wrote on its serial line."""
        ...
