"""The power of a guest is cut while the ZFS driver is at work: what was whole is whole, the rest can be cleared away."""

import subprocess

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.inside import push_tree
from tests.lab.harness.shape import Shape

LAB = Shape(guests=1, mem_mib=1536, cpus=2, disks=("4G",))
CHURN = (
    "cd /srv/tree && PYTHONPATH=/srv/tree:/opt/tests PYTHONPYCACHEPREFIX=/var/cache/inside /opt/horcrux/bin/python -m"
)
ACTS_BEFORE_THE_CUT = 5


@pytest.mark.parametrize("act", ["clone", "snapshot", "fill", "receive"])
def test_a_power_cut_loses_nothing_that_was_whole(guest: Guest, act: str) -> None:
    push_tree(guest)
    guest.run("zpool list tank 2>/dev/null || zpool create -O mountpoint=none tank /dev/vdb")
    working = guest.begin(f"{CHURN} tests.support.zfs_churn {act}")
    try:
        begun = wait_for_acts(working)
    finally:
        guest.kill()
        working.wait()
    guest.start()
    guest.wait_for("zpool list tank")
    done = [words.split()[2] for words in begun if words.startswith("done")]
    assert len(done) >= ACTS_BEFORE_THE_CUT - 1
    check = f"{CHURN} tests.support.zfs_churn check {act} {' '.join(done)}"
    assert guest.run(check, timeout_s=900).split() == ["clean"], begun


def wait_for_acts(working: "subprocess.Popen[bytes]") -> list[str]:
    """What it said until the last act before the cut had begun."""
    said: list[str] = []
    assert working.stdout is not None
    for line in working.stdout:
        said.append(line.decode())
        if sum("begin" in words for words in said) >= ACTS_BEFORE_THE_CUT:
            return said
    raise AssertionError(f"it ended by itself: {said}")
