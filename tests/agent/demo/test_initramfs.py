"""The archive is one that other people's tools read."""

import subprocess
from pathlib import Path

import pytest

from agent.demo.cpio import CpioArchive
from agent.demo.initramfs import build_initramfs, collect_modules
from horcrux.errors import HostLacks


def _listing(archive: bytes) -> dict[str, str]:
    """Name to mode, as GNU cpio reads them; every entry is of the epoch."""
    shown = subprocess.run(["cpio", "-tv", "--quiet"], input=archive, capture_output=True, check=True).stdout.decode()
    return {line.partition(" 1970 ")[2]: line[:10] for line in shown.splitlines()}


def test_gnu_cpio_reads_what_the_archive_holds() -> None:
    archive = CpioArchive()
    archive.file("a/b/hello", b"content of five", 0o755)
    archive.link("init", "a/b/hello")
    archive.character_device("dev/console", 5, 1)
    seen = _listing(archive.finish())
    assert seen["a/b/hello"] == "-rwxr-xr-x"
    assert seen["init -> a/b/hello"] == "lrwxrwxrwx"
    assert seen["a"] == seen["a/b"] == seen["dev"] == "drwxr-xr-x"
    assert seen["dev/console"].startswith("crw")


def _module(folder: Path, name: str, depends: str) -> None:
    (folder / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0retpoline=Y\0")


def test_a_module_comes_after_all_it_depends_on(tmp_path: Path) -> None:
    _module(tmp_path, "virtio_net", "net-failover,virtio")
    _module(tmp_path, "net_failover", "failover")
    _module(tmp_path, "failover", "")
    _module(tmp_path, "virtio", "")
    _module(tmp_path, "unwanted", "")
    modules = collect_modules(tmp_path, ["virtio_net", "built_in"])
    assert list(modules) == ["failover", "net_failover", "virtio", "virtio_net"]


def test_a_kernel_without_modules_is_refused_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(HostLacks, match="no modules"):
        collect_modules(tmp_path)


def test_the_guest_starts_busybox_and_every_script_can_be_run() -> None:
    seen = _listing(build_initramfs(b"busybox", {"button": b"ko"}))
    assert "init -> bin/busybox" in seen
    for script in ("etc/rcS", "etc/network", "etc/lease", "etc/farewell", "etc/acpi/PWRF/00000080"):
        assert seen[script] == "-rwxr-xr-x"
    assert "lib/modules/button.ko" in seen
