"""A bootable disk image whose guest has Debian's qemu-guest-agent and writes to its second disk without end.

The demo's image (busybox, serial line) and, in a second archive behind its initramfs, the agent, `mke2fs` and their libraries.
On the serial line: `data: boot <n>` once the file system on the second disk is there, then `beat <number> <clock> <since the
last>` after every synced write (hundredths of a second by the guest's clock).
"""

import functools
import re
import subprocess
import tempfile
from pathlib import Path

from agent.demo.cpio import CpioArchive
from agent.demo.image import KERNEL, PARTS, build_disk, default_cache
from agent.demo.initramfs import GUEST, build_initramfs, collect_modules
from agent.demo.packages import (
    fetch,
    fingerprint_of_files,
    fingerprint_of_packages,
    real_package,
    resolve,
    unpack,
)

OURS = Path(__file__).with_name("agent_guest")
MEMORY_MB = 160
"""What the guest needs."""
_AGENT = "qemu-guest-agent"
_MODULES = ("button", "evdev", "virtio_pci", "virtio_blk", "virtio_balloon", "virtio_console", "crc32c_generic", "ext4")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_MKE2FS = Path("/sbin/mke2fs")


@functools.cache
def agent_image() -> Path:
    """Path of the qcow2 image; built at the first call ever, then kept below the cache folder. Blocks. Copy it before a guest
    writes to it, and give the guest a second, empty virtio disk."""
    cache = default_cache()
    packages = resolve([real_package(KERNEL), *PARTS, _AGENT])
    sources = [
        Path(__file__),
        *GUEST.iterdir(),
        *OURS.iterdir(),
        *Path(build_disk.__code__.co_filename).parent.glob("*.py"),
    ]
    image = cache / f"agent-{fingerprint_of_files(sources)}-{fingerprint_of_packages(packages)}.qcow2"
    if image.is_file():
        return image
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as place:
        agent = next(package for package in packages if package.name == _AGENT)
        unpack(fetch(agent, cache / "packages"), Path(place) / "agent")
        program = Path(place) / "agent/usr/sbin/qemu-ga"

        def initramfs_of(root: Path) -> bytes:
            return _initramfs(root, program)

        others = [package for package in packages if package is not agent]
        build_disk(others, cache / "packages", Path(place), lambda _step: None, initramfs_of).rename(image)
    return image


def _initramfs(root: Path, agent: Path) -> bytes:
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.is_file())
    extra = CpioArchive()
    extra.file("usr/sbin/qemu-ga", agent.read_bytes(), 0o755)
    extra.file("sbin/mke2fs", _MKE2FS.read_bytes(), 0o755)
    extra.file("etc/mke2fs.conf", Path("/etc/mke2fs.conf").read_bytes())
    for library in sorted(_libraries(agent) | _libraries(_MKE2FS)):
        extra.file(library.lstrip("/"), Path(library).read_bytes(), 0o755)
    for script in OURS.iterdir():
        extra.file(f"etc/{script.name}", script.read_bytes(), 0o755)
    return build_initramfs(busybox.read_bytes(), collect_modules(root, _MODULES)) + extra.finish()


def _libraries(program: Path) -> set[str]:
    """Paths, under the names that the program asks for, from this machine: the package is of the same release."""
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    return set(_LIBRARY.findall(told))
