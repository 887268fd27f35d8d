"""The demo guest's whole system: busybox, the kernel modules it needs, and the few scripts of `guest/`."""

import lzma
import re
from collections.abc import Sequence
from pathlib import Path

from agent.demo.cpio import CpioArchive
from horcrux.errors import HostLacks

GUEST = Path(__file__).parent / "guest"

_WANTED = ("button", "evdev", "virtio_pci", "virtio_net", "virtio_blk", "virtio_balloon", "af_packet")
"""The power button and who reads it, then virtio. What a kernel has built in is no file, and left out."""
_DEPENDS = re.compile(rb"\0?depends=([^\0]*)\0")
_PROGRAMS = ("rcS", "network", "lease", "farewell")


def _stem(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _read_module(path: Path) -> bytes:
    """The module as the kernel wants it; Debian 13 ships them packed with xz."""
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def collect_modules(tree: Path, wanted: Sequence[str] = _WANTED) -> dict[str, bytes]:
    """The wanted modules below `tree` with all they depend on, in the order they must be loaded."""
    files = {_stem(path): path for path in tree.rglob("*.ko*")}
    if not files:
        raise HostLacks(f"the kernel package holds no modules below {tree}: it is not one the demo image can use")
    ordered: dict[str, bytes] = {}

    def take(name: str) -> None:
        if name in ordered or name not in files:
            return
        content = _read_module(files[name])
        found = _DEPENDS.search(content)
        for needed in found[1].decode().split(",") if found else ():
            take(needed.replace("-", "_"))
        ordered[name] = content

    for name in wanted:
        take(name)
    return ordered


def build_initramfs(busybox: bytes, modules: dict[str, bytes]) -> bytes:
    """The archive the kernel unpacks. Not compressed: unpacking costs an emulated CPU more than reading 4 MiB."""
    archive = CpioArchive()
    for folder in ("dev", "proc", "sys", "root", "tmp", "run", "etc/acpi/PWRF"):
        archive.folder(folder)
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3)
    archive.file("bin/busybox", busybox, 0o755)
    archive.link("bin/sh", "busybox")
    archive.link("init", "bin/busybox")
    for program in _PROGRAMS:
        archive.file(f"etc/{program}", (GUEST / program).read_bytes(), 0o755)
    for setting in ("inittab", "profile", "acpi.map"):
        archive.file(f"etc/{setting}", (GUEST / setting).read_bytes())
    archive.file("etc/acpi/PWRF/00000080", (GUEST / "power").read_bytes(), 0o755)
    archive.file("etc/passwd", b"root::0:0:root:/root:/bin/sh\n")
    for name, content in modules.items():
        archive.file(f"lib/modules/{name}.ko", content)
    archive.file("lib/modules/order", "".join(f"{name}.ko\n" for name in modules).encode())
    return archive.finish()
