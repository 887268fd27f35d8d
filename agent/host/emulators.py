"""QEMU as this host has it: one program an architecture, and the firmware files beside it."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.host.program import Run
from agent.host.report import Capability, able, unable
from horcrux.compute.domain import Accel, Machine, UefiFiles
from horcrux.compute.vm import Architecture

_PACKAGES = {
    Architecture.X86_64: "qemu-system-x86",
    Architecture.AARCH64: "qemu-system-arm",
    Architecture.RISCV64: "qemu-system-misc",
}
_UEFI: Mapping[Architecture, Sequence[tuple[str, str]]] = {
    Architecture.X86_64: (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ),
    Architecture.AARCH64: (
        ("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ),
    Architecture.RISCV64: (
        ("/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "/usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd"),
    ),
}
"""Debian's files, the best first: the code, and the empty variables."""
_UEFI_PACKAGES = {
    Architecture.X86_64: "ovmf",
    Architecture.AARCH64: "qemu-efi-aarch64",
    Architecture.RISCV64: "qemu-efi-riscv64 (from Debian 13 on)",
}
_U_BOOT = "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"

Which = Callable[[str], str | None]


def find_uefi(root: Path, architecture: Architecture) -> UefiFiles | None:
    """The first pair of files that is there below `root`."""
    for code, variables in _UEFI[architecture]:
        if (root / code[1:]).is_file() and (root / variables[1:]).is_file():
            return UefiFiles(code, variables)
    return None


def find_machines(
    root: Path, own: Architecture | None, accel: Accel, which: Which = shutil.which
) -> dict[Architecture, Machine]:
    """A Machine for each architecture whose QEMU is installed, from the files alone; only the host's own can be accelerated."""
    programs = {architecture: which(f"qemu-system-{architecture}") for architecture in Architecture}
    return {
        architecture: Machine(
            emulator=program,
            accel=accel if architecture is own else Accel.TCG,
            uefi=find_uefi(root, architecture),
            boot_loader=_U_BOOT if architecture is Architecture.RISCV64 and (root / _U_BOOT[1:]).is_file() else None,
        )
        for architecture, program in programs.items()
        if program is not None
    }


def _version(words: str) -> str:
    """`7.2.22` from `QEMU emulator version 7.2.22 (Debian …)`."""
    return words.partition("version ")[2].split(maxsplit=1)[0].rstrip(",") if "version " in words else "unknown version"


def probe_emulators(
    root: Path, own: Architecture | None, accel: Accel, run: Run, which: Which = shutil.which
) -> tuple[dict[Architecture, Machine], list[Capability]]:
    """The architectures that can be run, and a finding for each."""
    installed = find_machines(root, own, accel, which)
    machines: dict[Architecture, Machine] = {}
    findings: list[Capability] = []
    for architecture in Architecture:
        name, needed = f"guests {architecture}", architecture is own
        machine = installed.get(architecture)
        if machine is None:
            remedy = f"apt install {_PACKAGES[architecture]}"
            findings.append(unable(name, f"qemu-system-{architecture} is not installed", remedy, needed=needed))
            continue
        answer = run([machine.emulator, "--version"])
        if not answer.ok:
            remedy = f"apt install --reinstall {_PACKAGES[architecture]}"
            trouble = f"{machine.emulator} does not start: {answer.last_line}"
            findings.append(unable(name, trouble, remedy, needed=needed))
            continue
        machines[architecture] = machine
        findings.append(_finding(name, architecture, machine, _version(answer.output), needed=needed))
    findings += [_uefi_finding(architecture, machine) for architecture, machine in machines.items()]
    return machines, findings


def _finding(name: str, architecture: Architecture, machine: Machine, version: str, *, needed: bool) -> Capability:
    detail = f"QEMU {version}, {machine.accel}"
    if architecture is Architecture.RISCV64 and not (machine.uefi or machine.boot_loader):
        return unable(name, "QEMU is there, but no firmware that reads disks", "apt install u-boot-qemu", detail=detail)
    return able(name, detail, needed=needed)


def _uefi_finding(architecture: Architecture, machine: Machine) -> Capability:
    name = f"UEFI {architecture}"
    if machine.uefi:
        return able(name, machine.uefi.code)
    return unable(name, "its firmware files are not installed", f"apt install {_UEFI_PACKAGES[architecture]}")
