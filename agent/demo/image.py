"""A small bootable disk image made from Debian packages alone, without root, loop devices or mounts.

    apt-get download -> dpkg-deb -x -> initramfs -> FAT partition (mtools) -> syslinux for BIOS, systemd-boot for UEFI -> qcow2

The demo and the tests boot it. The same packages and the same recipe give the same image, kept under their fingerprint.
"""

import os
import platform
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.demo.initramfs import GUEST, build_initramfs, collect_modules
from agent.demo.packages import (
    DebianPackage,
    fetch,
    fingerprint_of_files,
    fingerprint_of_packages,
    real_package,
    resolve,
    run_tool,
    unpack,
)
from horcrux.errors import HostLacks
from horcrux.units import MIB

SENTENCE = "hello from horcrux: this guest is up"
"""What the guest says of itself on its serial line and on its screen."""

KERNEL = "linux-image-cloud-amd64"
"""Debian's kernel for clouds: 14 MB, VGA text and EFI framebuffer, unpacks twice as fast in emulation as the full one."""
PARTS = ("busybox-static", "mtools", "syslinux", "syslinux-common", "systemd-boot-efi")
_COMMAND_LINE = "console=tty0 console=ttyS0,115200 quiet loglevel=3 no5lvl mitigations=off random.trust_cpu=on"
_KEEP_S = 30 * 86400
_SECTOR = 512
_PARTITION_OFFSET = 1 * MIB
_EFI_PARTITION = 0xEF
_FAT_ROOM = 3 * MIB
"""For both boot loaders, the FAT itself and rounding."""

Step = Callable[[str], None]
"""Told in a few words what is done next."""


def default_cache() -> Path:
    """Where fetched packages and finished images are kept for the next time."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "horcrux"


def _nothing(_step: str) -> None:
    """Tells nobody."""


def build_demo_image(target: Path, cache: Path, step: Step = _nothing) -> None:
    """`target` is the demo's qcow2 image. Blocks for some seconds (the first time for as long as 30 MB take to arrive).

    HostLacks where apt or a tool is missing, Unreachable where the packages cannot be fetched.
    """
    built = cached_demo_image(cache, step)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(built, partial)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def cached_demo_image(cache: Path, step: Step = _nothing) -> Path:
    """Path of the finished image in `cache`, built when it is not there yet.

    Where apt's lists are gone, the image that was built last of the same recipe serves.
    """
    if platform.machine() != "x86_64":
        raise HostLacks(
            f"the demo image is made for x86_64 hosts, this one is {platform.machine()}: upload an image instead"
        )
    recipe = f"hello-{fingerprint_of_files([*Path(__file__).parent.glob('*.py'), *GUEST.iterdir()])}"
    step("asking apt for the packages")
    try:
        packages = resolve([real_package(KERNEL), *PARTS])
    except HostLacks:
        known = sorted(cache.glob(f"{recipe}-*.qcow2"), key=lambda path: path.stat().st_mtime)
        if known:
            return known[-1]
        raise
    image = cache / f"{recipe}-{fingerprint_of_packages(packages)}.qcow2"
    if image.is_file():
        return image
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as place:
        build_disk(packages, cache / "packages", Path(place), step).rename(image)
    _forget_old(cache)
    return image


def _forget_old(cache: Path) -> None:
    """What nobody has needed for a month is gone from the cache."""
    oldest = time.time() - _KEEP_S
    for path in [*cache.glob("hello-*.qcow2"), *cache.glob("packages/*.deb")]:
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def plain_initramfs(root: Path) -> bytes:
    """The demo guest's, from the packages unpacked in `root`."""
    return build_initramfs((_only(root, "bin/busybox")).read_bytes(), collect_modules(root))


def build_disk(
    packages: list[DebianPackage],
    kept: Path,
    place: Path,
    step: Step,
    initramfs_of: Callable[[Path], bytes] = plain_initramfs,
) -> Path:
    """The qcow2 image, in `place`."""
    for package in packages:
        step(f"fetching {package.name}")
        archive = fetch(package, kept)
        step(f"unpacking {package.name}")
        unpack(archive, place / "root")
    step("making the initramfs")
    root = place / "root"
    initramfs = place / "initrd"
    initramfs.write_bytes(initramfs_of(root))
    step("writing the disk")
    raw = place / "hello.raw"
    _write_disk(raw, root, _only(root, "boot/vmlinuz-*"), initramfs)
    image = place / "hello.qcow2"
    run_tool(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", str(raw), str(image)])
    return image


def _only(root: Path, pattern: str) -> Path:
    """The first file below `root` that matches; packages move files between `/bin` and `/usr/bin` from release to release."""
    for candidate in (pattern, f"usr/{pattern}"):
        found = sorted(root.glob(candidate))
        if found:
            return found[0]
    raise HostLacks(f"the Debian packages hold no {pattern}: this release of Debian is not one the demo knows")


def _write_disk(disk: Path, root: Path, kernel: Path, initramfs: Path) -> None:
    """`disk` boots `kernel` from BIOS and UEFI."""
    content = sum(-(-path.stat().st_size // MIB) * MIB for path in (kernel, initramfs))
    fat_bytes = max(content + _FAT_ROOM, 20 * MIB)
    with disk.open("wb") as stream:
        stream.truncate(_PARTITION_OFFSET + fat_bytes)
    sectors = fat_bytes // _SECTOR
    drive = f"{disk}@@{_PARTITION_OFFSET}"
    tools = root / "usr/bin"
    geometry = ["-h", "64", "-s", "32", "-T", str(sectors), "-H", str(_PARTITION_OFFSET // _SECTOR)]
    run_tool([str(tools / "mformat"), "-i", drive, *geometry, "-v", "HELLO", "-N", "48454c4c"])
    run_tool([str(tools / "mmd"), "-i", drive, "::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries"])
    for source, name in _files(disk.parent, root, kernel, initramfs):
        run_tool([str(tools / "mcopy"), "-i", drive, str(source), f"::{name}"])
    run_tool(
        [str(tools / "syslinux"), "--install", "--offset", str(_PARTITION_OFFSET), str(disk)], beside=tools
    )  # it calls mcopy
    mbr = (root / "usr/lib/syslinux/mbr/mbr.bin").read_bytes()
    with disk.open("r+b") as stream:
        stream.write(_boot_sector(mbr, sectors))


def _files(place: Path, root: Path, kernel: Path, initramfs: Path) -> list[tuple[Path, str]]:
    """What lies in the FAT, and under which name."""
    texts = {
        "/syslinux.cfg": f"DEFAULT hello\nPROMPT 0\nLABEL hello\nLINUX /vmlinuz\nINITRD /initrd\nAPPEND {_COMMAND_LINE}\n",
        "/loader/loader.conf": "default hello.conf\ntimeout 0\n",
        "/loader/entries/hello.conf": f"title hello\nlinux /vmlinuz\ninitrd /initrd\noptions {_COMMAND_LINE}\n",
    }
    files = [
        (kernel, "/vmlinuz"),
        (initramfs, "/initrd"),
        (_only(root, "lib/systemd/boot/efi/systemd-bootx64.efi"), "/EFI/BOOT/BOOTX64.EFI"),
    ]
    for number, (name, text) in enumerate(texts.items()):
        path = place / f"text{number}"
        path.write_text(text)
        files.append((path, name))
    return files


def _boot_sector(code: bytes, sectors: int) -> bytes:
    """A master boot record with one active EFI system partition from 1 MiB on."""
    chs = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, chs, _EFI_PARTITION, chs, _PARTITION_OFFSET // _SECTOR, sectors)
    return code[:440].ljust(440, b"\0") + b"hello\0"[:6] + entry + bytes(48) + b"\x55\xaa"
