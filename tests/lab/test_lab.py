"""The lab itself: the product runs in it, power cuts and partitions are real, and nothing is left behind."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.harness.guest import Guest, GuestError
from tests.lab.harness.inside import InsideError, run_tests_inside
from tests.lab.harness.kept import processes_of
from tests.lab.harness.lab import Lab, power_on
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import Shape
from tests.support.waiting import block_until

LAB = Shape(guests=2, cpus=1, disks=("1G", "256M"))


def test_a_power_cut_loses_no_synced_data_and_the_agent_comes_back(guest: Guest, agent: InstalledAgent) -> None:
    agent.enable()
    guest.run(
        """zpool create -f tank mirror /dev/vdb /dev/vdc
        zfs create -V 64M tank/v
        udevadm settle --exit-if-exists=/dev/zvol/tank/v
        echo kept | dd of=/dev/zvol/tank/v conv=fsync status=none"""
    )
    first_life = guest.run("cat /proc/sys/kernel/random/boot_id")
    guest.kill()
    with pytest.raises(GuestError):
        guest.run("true", timeout_s=5)
    guest.start()
    assert guest.run("cat /proc/sys/kernel/random/boot_id") != first_life
    guest.wait_for("test -b /dev/zvol/tank/v")
    assert guest.run("head -c 4 /dev/zvol/tank/v") == "kept"
    assert "errors: No known data errors" in guest.run("zpool scrub -w tank; zpool status tank")
    agent.until_healthy()
    assert agent.get("/api/vms") == []


def test_the_agent_from_the_wheel_serves_under_systemd(agent: InstalledAgent) -> None:
    assert agent.is_active()
    assert agent.exchange("GET", "/healthz", signed_in=False).json == {"ok": True}
    shown = agent.guest.run("systemctl show -P ExecStart horcrux-agent.service; curl -sf http://127.0.0.1:8006/healthz")
    assert "/opt/horcrux/bin/horcrux-agent" in shown
    assert isinstance(agent.get("/api/vms"), list)
    agent.stop()
    assert not agent.is_active()
    agent.start()


def test_a_partition_cuts_and_heals(lab: Lab) -> None:
    ping = f"ping -c 1 -W 1 -q {lab.n2.ip}"
    assert lab.n1.attempt(ping).status == 0
    with lab.partition(lab.n1, lab.n2):
        assert lab.n1.attempt(ping).status != 0
    lab.n1.wait_for(ping, timeout_s=20)


def test_guests_have_their_own_identity_and_reach_each_other(lab: Lab) -> None:
    asked = "cat /etc/machine-id; hostid; hostname"
    assert lab.n1.run(asked).split()[:2] != lab.n2.run(asked).split()[:2]
    assert lab.n1.run("ssh n2 hostname").strip() == "n2"


def test_the_kernel_has_what_storage_needs(guest: Guest) -> None:
    guest.run("modprobe -a dm_thin_pool iscsi_tcp sd_mod nfsd nfs zfs loop nbd")
    guest.run("command -v lvcreate thin_check exportfs iscsiadm tgtadm zpool qemu-img virsh etcd nft")


def test_tests_run_inside_and_their_failures_come_out(guest: Guest) -> None:
    report = run_tests_inside(guest, "tests/horcrux/test_units.py")
    assert report.passed
    with pytest.raises(InsideError, match="0 passed"):
        run_tests_inside(guest, "tests/horcrux/test_units.py", "-k", "no_such_test")


@pytest.fixture
def short_lab(lab_image: Path) -> Iterator[Lab]:
    """A lab that is owned by another process and is still booting."""
    with subprocess.Popen(["sleep", "infinity"]) as owner:
        lab = power_on(Shape(cpus=1), lab_image, owner=owner.pid)
        try:
            yield lab
        finally:
            owner.kill()
            lab.close()


def test_nothing_is_left_after_a_lab_is_closed(short_lab: Lab) -> None:
    keeper, guest = short_lab.keeper_pid(), short_lab.pid_of(short_lab.n1)
    assert {keeper, guest} <= set(processes_of(short_lab.folder))
    short_lab.close()
    assert not runs(keeper)
    assert not runs(guest)
    assert not processes_of(short_lab.folder)
    assert not short_lab.folder.exists()


def test_nothing_is_left_after_the_owner_of_a_lab_was_killed(short_lab: Lab) -> None:
    keeper, guest = short_lab.keeper_pid(), short_lab.pid_of(short_lab.n1)
    os.kill(short_lab.owner, signal.SIGKILL)
    block_until(lambda: not runs(keeper) and not runs(guest) and not short_lab.folder.exists())


def test_no_guest_outlives_a_keeper_that_was_killed(short_lab: Lab, lab_image: Path) -> None:
    guest = short_lab.pid_of(short_lab.n1)
    os.kill(short_lab.keeper_pid(), signal.SIGKILL)
    block_until(lambda: not runs(guest))
    power_on(Shape(cpus=1), lab_image).close()
    assert not short_lab.folder.exists(), "the next lab removes what is left of a dead one"


def test_a_lab_ends_when_its_time_is_over(lab_image: Path) -> None:
    lab = power_on(Shape(cpus=1, ttl_s=3), lab_image)
    block_until(lambda: not lab.folder.exists() and not processes_of(lab.folder))


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
