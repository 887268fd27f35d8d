"""Packages: what apt says is read, what it refuses is told in plain words, what is kept is not fetched again."""

import os
from pathlib import Path

import pytest

from agent.demo.image import cached_demo_image
from agent.demo.initramfs import GUEST
from agent.demo.packages import (
    DebianPackage,
    fetch,
    fingerprint_of_files,
    fingerprint_of_packages,
    real_package,
    resolve,
    run_tool,
)
from horcrux.errors import HostLacks, Unreachable

BUSYBOX = DebianPackage(name="busybox-static", file_name="busybox-static_1_amd64.deb", checksum="SHA256:aa")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is in PATH, beside the shell's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_what_apt_would_fetch_is_read_by_name_in_order(programs: Path) -> None:
    program(
        programs,
        "apt-get",
        """echo "'http://m/s.deb' syslinux_3%3a6.04_amd64.deb 123 SHA256:bb"
           echo "'http://m/b.deb' busybox-static_1_amd64.deb 99 SHA256:aa" """,
    )
    found = resolve(["syslinux", "busybox-static"])
    assert found == [
        BUSYBOX,
        DebianPackage(name="syslinux", file_name="syslinux_3%3a6.04_amd64.deb", checksum="SHA256:bb"),
    ]


def test_a_host_without_apt_is_told_that_it_needs_debian(programs: Path) -> None:
    with pytest.raises(HostLacks, match="needs Debian"):
        resolve(["busybox-static"])


def test_packages_that_apt_does_not_know_have_a_next_step(programs: Path) -> None:
    program(programs, "apt-get", "echo 'E: Unable to locate package busybox-static' >&2; exit 100")
    with pytest.raises(HostLacks, match=r"Unable to locate package.*apt-get update"):
        resolve(["busybox-static"])


def test_a_mirror_that_cannot_be_reached_is_unreachable_and_leaves_nothing(programs: Path, tmp_path: Path) -> None:
    program(programs, "apt-get", "echo 'E: Failed to fetch http://mirror/ Could not resolve mirror' >&2; exit 100")
    with pytest.raises(Unreachable, match="Could not resolve mirror"):
        fetch(BUSYBOX, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_package_that_is_kept_is_not_fetched_again(programs: Path, tmp_path: Path) -> None:
    program(programs, "apt-get", "echo content > busybox-static_1_amd64.deb")
    kept = fetch(BUSYBOX, tmp_path / "kept")
    assert kept.read_text() == "content\n"
    program(programs, "apt-get", "exit 1")
    assert fetch(BUSYBOX, tmp_path / "kept") == kept


def test_a_meta_package_stands_for_its_first_dependency(programs: Path) -> None:
    program(programs, "apt-get", "exit 0")
    program(programs, "apt-cache", "printf 'linux-image-cloud-amd64\\n  Depends: linux-image-6.1.0-56-cloud-amd64\\n'")
    assert real_package("linux-image-cloud-amd64") == "linux-image-6.1.0-56-cloud-amd64"


def test_a_tool_that_is_missing_is_named(programs: Path) -> None:
    with pytest.raises(HostLacks, match="mformat"):
        run_tool(["mformat"])


def test_fingerprints_change_with_what_they_are_of(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    before = fingerprint_of_files([tmp_path / "a"])
    (tmp_path / "a").write_text("two")
    assert fingerprint_of_files([tmp_path / "a"]) != before
    other = DebianPackage(name="busybox-static", file_name=BUSYBOX.file_name, checksum="SHA256:other")
    assert fingerprint_of_packages([BUSYBOX]) != fingerprint_of_packages([other])


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the demo image is made on x86_64")
def test_without_apt_the_image_that_was_built_last_serves(programs: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with pytest.raises(HostLacks):
        cached_demo_image(cache)
    recipe = fingerprint_of_files([*GUEST.parent.glob("*.py"), *GUEST.iterdir()])
    kept = cache / f"hello-{recipe}-12345678.qcow2"
    kept.write_text("built earlier")
    assert cached_demo_image(cache) == kept
