"""What a domain is compiled from: the plan (a spec with its paths) and what this host has."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from horcrux.compute.vm import Architecture, VmSpec
from horcrux.ids import NodeId, VmId
from horcrux.storage.network_source import NetworkSource
from horcrux.storage.volume import VolumeKind


class Accel(StrEnum):
    KVM = "kvm"
    TCG = "tcg"


class DomainDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of the spec with what QEMU opens. `path` is as in `Volume.path`; `format` qcow2, raw or vmdk."""

    name: str
    path: str
    format: str
    kind: VolumeKind = VolumeKind.FILE
    network: NetworkSource | None = None
    """For kind `network` only."""


class DomainPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A spec with everything resolved that only this host knows."""

    vm_id: VmId
    uuid: str
    spec: VmSpec
    disks: tuple[DomainDisk, ...] = ()
    """In the order of `spec.disks`."""
    seed_iso: str | None = None
    """Path of the cloud-init seed."""
    cdrom: str | None = None
    """Path of the ISO image that `spec.cdrom` names."""


class UefiFiles(msgspec.Struct, frozen=True):
    """Paths: the code that all guests share, and the empty variables that each guest gets a copy of."""

    code: str
    variables: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What this host has for guests of one architecture."""

    emulator: str
    accel: Accel
    uefi: UefiFiles | None = None
    boot_loader: str | None = None
    """Given to QEMU as the kernel where the firmware cannot read disks: U-Boot above OpenSBI on riscv64."""


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the compiler must know of this host. Folders are absolute paths without a slash at the end."""

    node_id: NodeId
    runtime_dir: str
    """Holds `vnc/` and `serial/`, the sockets of running guests (`/run/horcrux/<node id>`)."""
    state_dir: str
    """Holds `serial/` (logs of the serial lines) and `nvram/` (the guests' firmware variables)."""
    machines: Mapping[Architecture, Machine]
    has_virtlogd: bool = True
    """Without it libvirt cannot keep the log of a serial line."""


SOCKET_PATH_BYTES = 107
"""unix(7): `sun_path` holds 108 bytes, the last of them zero."""


def domain_name(node_id: NodeId, vm_id: VmId) -> str:
    """Name of the domain; several nodes may share one libvirt."""
    return f"hx-{node_id}-{vm_id}"


def vnc_socket(runtime_dir: str, vm_id: VmId) -> str:
    return f"{runtime_dir}/vnc/{vm_id}.sock"


def serial_socket(runtime_dir: str, vm_id: VmId) -> str:
    return f"{runtime_dir}/serial/{vm_id}.sock"


def serial_log(state_dir: str, vm_id: VmId) -> str:
    return f"{state_dir}/serial/{vm_id}.log"


def nvram_file(state_dir: str, vm_id: VmId) -> str:
    return f"{state_dir}/nvram/{vm_id}.fd"
