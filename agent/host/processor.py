"""The host's processor, and whether guests can run on it directly.

`/dev/kvm` alone proves nothing: inside some VMs it exists and cannot run a stock guest. On x86 the processor must also say `vmx`
(Intel) or `svm` (AMD).
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agent.host.report import Capability, able, unable
from horcrux.compute.domain import Accel
from horcrux.compute.vm import Architecture

_KVM_GET_API_VERSION = 0xAE00
_KVM_API_VERSION = 12
"""The only one there ever was (kernel: Documentation/virt/kvm/api.rst, 4.1)."""
_NAMES = {"x86_64": Architecture.X86_64, "amd64": Architecture.X86_64, "aarch64": Architecture.AARCH64}
_NAMES |= {"arm64": Architecture.AARCH64, "riscv64": Architecture.RISCV64}

AccelWish = Literal["auto", "kvm", "tcg"]


class Processor(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    flags: frozenset[str]
    cores: int


def architecture_of(machine: str) -> Architecture | None:
    """Our name for what `uname -m` says; None for a processor we have no guests for."""
    return _NAMES.get(machine)


def read_processor(root: Path) -> Processor:
    """As `/proc/cpuinfo` below `root` tells it; x86 calls them flags, ARM features."""
    model, flags = "unknown", frozenset[str]()
    for line in (root / "proc/cpuinfo").read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        match key.strip():
            case "model name" | "uarch":
                model = value.strip()
            case "flags" | "Features":
                flags = frozenset(value.split())
            case _:
                continue
    return Processor(model=model, flags=flags, cores=len(os.sched_getaffinity(0)))


def why_not_kvm(device: Path) -> str:
    """Why `device` is no KVM that can be used; empty when it is one."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return f"{device} does not exist"
    except OSError as err:
        return f"{device} cannot be opened: {err.strerror}"
    try:
        version = fcntl.ioctl(descriptor, _KVM_GET_API_VERSION)
    except OSError as err:
        return f"{device} does not answer as KVM: {err.strerror}"
    finally:
        os.close(descriptor)
    return "" if version == _KVM_API_VERSION else f"{device} speaks version {version} of KVM's interface"


def probe_kvm_device(device: Path, group_id: int | None) -> Capability:
    """Whether QEMU's user, who is in the group `group_id`, may open the device. Where it exists and is closed to them, libvirt
    9.0 throws away what it knows of QEMU at every call (48 to 170 s for one definition, measured)."""
    name = "KVM device"
    try:
        found = device.stat()
    except FileNotFoundError:
        return able(name, f"there is no {device}")
    is_open = found.st_mode & 0o006 == 0o006 or (found.st_gid == group_id and found.st_mode & 0o060 == 0o060)
    if is_open:
        return able(name, f"{device} is open to QEMU's user")
    return unable(
        name,
        f"{device} is closed to QEMU's user, so libvirt looks QEMU over at every call: changes of a VM take minutes",
        f"chgrp kvm {device} && chmod 0660 {device} (udev does it where it runs)",
    )


def probe_acceleration(
    own: Architecture | None, processor: Processor, wish: AccelWish, why_not: Callable[[], str]
) -> tuple[Accel, Capability]:
    """How guests of the host's own architecture run, and the finding. `why_not` looks at the device."""
    name = "acceleration"
    if wish == "tcg":
        return Accel.TCG, unable(
            name, "switched off by HORCRUX_ACCEL=tcg", "set HORCRUX_ACCEL=auto", detail="emulation"
        )
    reason, remedy = "", ""
    if own is Architecture.X86_64 and not processor.flags & {"vmx", "svm"}:
        reason = "the processor shows neither vmx nor svm"
        remedy = (
            "guests are emulated: slow, fine for a trial. Switch on virtualisation in the firmware, or nested "
            "virtualisation where this host is itself a VM"
        )
    elif missing := why_not():
        reason, remedy = missing, "load the module (`modprobe kvm_intel` or `kvm_amd`) and run the agent as root"
    if not reason:
        return Accel.KVM, able(name, "KVM")
    if wish == "kvm":
        return Accel.KVM, unable(name, f"forced by HORCRUX_ACCEL=kvm, but {reason}", remedy, detail="KVM")
    return Accel.TCG, unable(name, reason, remedy, detail="emulation")


def probe_nesting(root: Path) -> Capability:
    """Whether guests may run guests of their own."""
    name = "nested virtualisation"
    for module in ("kvm_intel", "kvm_amd"):
        setting = root / "sys/module" / module / "parameters/nested"
        if setting.exists():
            if setting.read_text().strip() in {"1", "Y", "y"}:
                return able(name, f"{module} allows it")
            return unable(
                name, f"{module} has it switched off", f"echo 'options {module} nested=1' >/etc/modprobe.d/nested.conf"
            )
    return unable(name, "no KVM module is loaded", "see acceleration; only guests that run guests need it")
