"""Replication between two installed nodes with real ZFS: networks that are cut, power that goes, agents that are killed."""

from typing import Any

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.inside import run_tests_inside
from tests.lab.harness.lab import Lab
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import Shape

LAB = Shape(guests=2, mem_mib=1536, cpus=1, disks=("4G",))
DEVICE = "/dev/zvol/tank/vms/web-disk0"
PEERS = "0.0.0.0:8007"
CHANGED_MIB = 24
SLOW_MIB_S = 1.0


class Nodes:
    """n1 has the VM `web`, n2 its replica. Nothing runs by itself."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.source = InstalledAgent(lab.n1)
        self.target = InstalledAgent(lab.n2)

    def set_up(self) -> None:
        for agent in (self.source, self.target):
            agent.guest.run("zpool create -f -O mountpoint=none tank /dev/vdb")
            agent.start(peer_listen=PEERS)
            agent.enable()
            agent.post("/api/storage", {"id": "tank", "storage_type": "zfs", "target": "tank/vms"})
        for here, there in ((self.source, self.target), (self.target, self.source)):
            certificate = there.get("/api/peers/self")["certificate"]
            url = f"https://{there.guest.ip}:8007"
            here.post("/api/peers", {"name": there.guest.name, "url": url, "certificate": certificate})
        disks = [{"storage_pool": "tank", "size_gb": 0.25}]
        self.source.post("/api/vms", {"id": "web", "memory_mb": 64, "disks": disks})
        self.write(0, 48)
        order = {"vm_id": "web", "peer": "n2", "target_pool": "tank", "is_enabled": False}
        self.source.post("/api/replications", order)

    def write(self, at_mib: int, count_mib: int) -> None:
        """As the guest would."""
        words = f"bs=1M seek={at_mib} count={count_mib} iflag=fullblock conv=notrunc,fsync status=none"
        self.source.guest.run(f"udevadm settle --exit-if-exists={DEVICE}; dd if=/dev/urandom of={DEVICE} {words}")

    def run(self) -> Any:
        return self.source.post("/api/replications/web/run", {})

    def state(self) -> Any:
        return self.source.get("/api/replications/web")

    def limit(self, mib_s: float | None) -> None:
        self.source.patch("/api/replications/web", {"bandwidth_limit_mib_s": mib_s})

    def begin_half(self) -> str:
        """A run of `CHANGED_MIB` that is past its first half; it goes on slowly."""
        self.write(60, CHANGED_MIB)
        self.limit(SLOW_MIB_S)
        task = self.source.begin("POST", "/api/replications/web/run", {})
        while (now := self.source.get(f"/api/tasks/{task}"))["progress"] < 0.5:
            assert now["state"] in {"queued", "running"}, now
        return task

    def settled(self) -> Any:
        """The state once what the last run left has been seen to, which goes on for a moment after its task has failed."""
        while (now := self.state())["state"] == "running":
            assert now["operation"], now
        return now

    def check_resumed(self) -> None:
        """The next run sends the rest only, and all is well on both sides."""
        assert self.settled()["is_resumable"]
        self.limit(None)
        done = self.run()
        assert 0 < done["last_bytes"] < CHANGED_MIB * (1 << 20) * 0.9, "what had come is not sent again"
        self.check_equal()

    def check_equal(self) -> None:
        hashes = [
            guest.run(f"udevadm settle --exit-if-exists={DEVICE}; sha256sum < {DEVICE}")
            for guest in (self.lab.n1, self.lab.n2)
        ]
        assert hashes[0] == hashes[1]
        assert holds(self.lab.n1) == ""


def holds(guest: Guest) -> str:
    return guest.run("zfs list -H -o name -t snapshot -r tank | xargs -r zfs holds -H")


@pytest.fixture(scope="module")
def nodes(lab: Lab) -> Nodes:
    nodes = Nodes(lab)
    nodes.set_up()
    return nodes


def test_the_first_run_sends_all_and_the_next_what_changed(nodes: Nodes) -> None:
    first = nodes.run()
    assert first["last_bytes"] > 48 << 20
    nodes.check_equal()
    nodes.write(7, 1)
    second = nodes.run()
    assert (1 << 20) < second["last_bytes"] < (3 << 20)
    nodes.check_equal()
    (volume,) = nodes.target.get("/api/storage/tank/volumes")
    assert volume["replica_of"] == "n1/web"
    assert nodes.lab.n1.run("zfs list -H -o name -t snapshot -r tank/vms") == ""
    nodes.target.delete("/api/storage/tank/volumes/web-disk0", status=409)
    assert nodes.lab.n2.attempt(f"dd if=/dev/zero of={DEVICE} bs=4096 count=1 conv=fsync").status != 0, "read-only"


def test_a_network_that_is_cut_in_the_middle_costs_only_the_rest(nodes: Nodes) -> None:
    task = nodes.begin_half()
    with nodes.lab.partition(nodes.lab.n1, nodes.lab.n2):
        ended = nodes.source.ended(task)
    assert (ended["state"], ended["error_code"]) == ("failed", "unreachable")
    nodes.check_resumed()


def test_a_target_that_loses_its_power_in_the_middle_goes_on(nodes: Nodes) -> None:
    task = nodes.begin_half()
    nodes.lab.n2.run("zpool sync tank")
    nodes.lab.n2.kill()
    ended = nodes.source.ended(task)
    assert ended["state"] == "failed"
    nodes.lab.n2.start()
    nodes.target.until_healthy()
    nodes.check_resumed()


def test_a_source_that_is_killed_in_the_middle_goes_on_and_holds_nothing(nodes: Nodes) -> None:
    nodes.begin_half()
    nodes.source.kill()
    nodes.source.start(peer_listen=PEERS)
    assert "cut off" in nodes.settled()["last_error"]
    assert holds(nodes.lab.n1) == ""
    nodes.check_resumed()


def test_a_source_that_loses_its_power_in_the_middle_goes_on(nodes: Nodes) -> None:
    nodes.begin_half()
    nodes.lab.n1.kill()
    nodes.lab.n1.start()
    nodes.source.until_healthy()
    nodes.check_resumed()


def test_what_was_written_at_the_target_is_not_overwritten_until_told(nodes: Nodes) -> None:
    nodes.lab.n2.run(
        f"zfs set readonly=off tank/vms/web-disk0; dd if=/dev/urandom of={DEVICE} bs=4096 count=1 conv=fsync"
    )
    answer = nodes.source.exchange("POST", "/api/replications/web/run", {})
    assert (answer.status, answer.json["code"]) == (409, "diverged")
    assert nodes.state()["snapshot"] in answer.json["error"]
    nodes.source.post("/api/replications/web/run", {"afresh": True})
    nodes.check_equal()


def test_no_pool_has_taken_harm(nodes: Nodes) -> None:
    for guest in (nodes.lab.n1, nodes.lab.n2):
        assert "errors: No known data errors" in guest.run("zpool scrub -w tank; zpool status tank")


def test_the_end_takes_everything_along(nodes: Nodes) -> None:
    nodes.source.delete("/api/replications/web?delete_replica=true")
    assert nodes.target.get("/api/storage/tank/volumes") == []
    assert nodes.lab.n1.run("zfs list -H -o name -t snapshot,bookmark -r tank/vms") == ""


def test_the_streams_of_zfs_do_what_the_fakes_do(lab: Lab) -> None:
    report = run_tests_inside(lab.n1, "tests/conformance/streams", "-k", "zfs")
    assert len(report.passed) > 10
