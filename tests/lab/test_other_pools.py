"""Pools on NFS, LVM and LVM-thin, held to what every storage driver does: the server, the disks and the kernel are real."""

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.inside import run_tests_inside
from tests.lab.harness.shape import Shape

LAB = Shape(mem_mib=1400)


@pytest.mark.parametrize("subject", ["nfs", "lvm-thin", "lvm and not thin"])
def test_the_conformance_suite_passes(guest: Guest, subject: str) -> None:
    report = run_tests_inside(guest, "tests/conformance/storage", "-k", subject, "--durations=15", timeout_s=1500)
    assert len(report.passed) > 15


def test_nothing_is_left_of_what_the_tests_made(guest: Guest) -> None:
    assert guest.run("lvs --noheadings; losetup -a; exportfs; grep -E ' nfs4? ' /proc/mounts || true").strip() == ""
