"""The lab itself: the product runs in it, power cuts and partitions are real, and nothing is left behind."""

from pathlib import Path

import pytest

from tests.lab.conftest import MakeLab
from tests.lab.harness.guest import Guest, GuestError
from tests.lab.harness.inside import InsideError, run_tests_inside
from tests.lab.harness.lab import Lab
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import Shape

LAB = Shape(guests=2, cpus=1, disks=("1G", "256M"))


def test_a_pool_survives_a_power_cut_with_its_synced_data(guest: Guest) -> None:
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


def test_the_agent_from_the_wheel_serves_under_systemd(agent: InstalledAgent) -> None:
    assert agent.is_active()
    assert agent.exchange("GET", "/healthz", signed_in=False).json == {"ok": True}
    shown = agent.guest.run("systemctl show -P ExecStart horcrux-agent.service; curl -sf http://127.0.0.1:8006/healthz")
    assert "/opt/horcrux/bin/horcrux-agent" in shown
    assert isinstance(agent.get("/api/vms"), list)
    agent.stop()
    assert not agent.is_active()


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


def test_nothing_is_left_after_a_lab_is_closed(make_lab: MakeLab) -> None:
    lab = make_lab(Shape(cpus=1))
    processes = {lab.keeper_pid(), lab.pid_of(lab.n1)}
    folder = lab.folder
    assert processes == {pid for pid in processes if runs(pid)}
    lab.close()
    assert not any(runs(pid) for pid in processes)
    assert not folder.exists()
    assert not named(folder)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def named(folder: Path) -> list[str]:
    """Processes that have to do with a run's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
            if str(folder).encode() in words or (entry / "cwd").readlink().is_relative_to(folder):
                found.append(entry.name)
        except OSError:  # it ended meanwhile
            continue
    return found
