"""What a hypervisor must be able to do. Implementations: `libvirt.py`, `fake.py`; one conformance suite for both.

A driver touches only domains that carry its node's id. It knows no documents and no policy: `admit()` has been asked before.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, Protocol

import msgspec

from horcrux.compute.domain import DomainPlan
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


class Keyboard(Protocol):
    """A hypervisor that can type into a guest."""

    async def send_keys(self, vm_id: VmId, chords: Sequence[Sequence[str]]) -> None:
        """Presses each chord (`["ctrl", "alt", "delete"]`, `["shift", "a"]`) in order; names as in `horcrux.compute.keys`.
        Invalid for an unknown key, Conflict when the VM does not run."""
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
