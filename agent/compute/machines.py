"""Which guests this host's QEMU can run, from the files that Debian's packages install. Blocks: call on a thread."""

from collections.abc import Mapping
from pathlib import Path

from horcrux.compute.domain import Accel, Machine, UefiFiles
from horcrux.compute.vm import Architecture

_UEFI: Mapping[Architecture, tuple[tuple[str, str], ...]] = {
    Architecture.X86_64: (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ),
    Architecture.AARCH64: (
        ("/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ),
    # Debian 13 (qemu-efi-riscv64); Debian 12 has none.
    Architecture.RISCV64: (
        ("/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "/usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd"),
    ),
}
_BOOT_LOADER: Mapping[Architecture, str] = {Architecture.RISCV64: "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin"}


def find_machines(native: Architecture, accel: Accel) -> dict[Architecture, Machine]:
    """A Machine for each architecture whose QEMU is installed. `accel` is what guests of the `native` one get (what the host
    probe says); all others are emulated."""
    found = {}
    for architecture in Architecture:
        emulator = Path(f"/usr/bin/qemu-system-{architecture}")
        if emulator.exists():
            found[architecture] = Machine(
                emulator=str(emulator),
                accel=accel if architecture is native else Accel.TCG,
                uefi=next(
                    (UefiFiles(*pair) for pair in _UEFI[architecture] if all(Path(f).exists() for f in pair)), None
                ),
                boot_loader=next((f for f in (_BOOT_LOADER.get(architecture),) if f and Path(f).exists()), None),
            )
    return found
