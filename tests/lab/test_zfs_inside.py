"""The ZFS driver's own tests, and the conformance suite on it, inside a guest."""

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.inside import run_tests_inside
from tests.lab.harness.shape import Shape

LAB = Shape(guests=1, mem_mib=2048, cpus=2, disks=("4G",))


@pytest.mark.parametrize("part", ["test_storage_driver.py", "test_snapshots.py", "test_clones.py"])
def test_the_conformance_suite_passes_on_zfs(guest: Guest, part: str) -> None:
    run_tests_inside(guest, f"tests/conformance/storage/{part}", "-m", "lab", "-k", "zfs", timeout_s=3600)


@pytest.mark.parametrize("part", ["test_driver.py", "test_trouble.py"])
def test_what_only_zfs_does_holds(guest: Guest, part: str) -> None:
    run_tests_inside(guest, f"tests/agent/zfs/{part}", "-m", "lab", timeout_s=3600)
