"""A disk moves from a folder to a zvol and back while its guest runs; the host's power is cut while disks are being moved."""

from typing import Any

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import Shape

LAB = Shape(guests=1, mem_mib=1536, cpus=2, disks=("4G",))

MIB = 1024**2
SMALL_MIB, LARGE_MIB = 24, 320
"""The large one takes a while to be copied: the power is cut meanwhile."""
ZVOL = "/dev/zvol/$(zfs list -H -o name -t volume | grep {volume})"


@pytest.fixture
def pools(agent: InstalledAgent, guest: Guest) -> InstalledAgent:
    """The agent with pools `local`, a folder, and `tank`, on ZFS."""
    if guest.attempt("zpool list tank").status != 0:
        guest.run("zpool create -O mountpoint=none tank /dev/vdb")
    if all(pool["id"] != "tank" for pool in agent.get("/api/storage")):
        agent.post("/api/storage", {"id": "tank", "storage_type": "zfs", "target": "tank"})
    return agent


def make_vm(agent: InstalledAgent, guest: Guest, vm_id: str, size_mib: int, *, start: bool) -> str:
    """A VM whose disk in the folder is full of what nobody can guess; its SHA-256."""
    agent.post("/api/vms", {"id": vm_id, "memory_mb": 64, "nics": [], "disks": [{"size_gb": size_mib / 1024}]})
    folder = next(pool["target"] for pool in agent.get("/api/storage") if pool["id"] == "local")
    file = f"{folder}/{vm_id}-disk0.qcow2"
    guest.run(f"head -c {size_mib}M /dev/urandom >/var/tmp/content")
    guest.run(f"qemu-img convert -n -f raw -O qcow2 /var/tmp/content {file}", timeout_s=600)
    if start:
        agent.post(f"/api/vms/{vm_id}/start")
    return guest.run("sha256sum </var/tmp/content; rm /var/tmp/content").split()[0]


def disk_of(agent: InstalledAgent, vm_id: str) -> Any:
    vm = agent.get(f"/api/vms/{vm_id}")
    assert (vm["operation"], vm["pending"]) == (None, [])
    return vm["disks"][0]


def content(agent: InstalledAgent, guest: Guest, vm_id: str, size_mib: int) -> str:
    """SHA-256 of the first part of the disk, wherever it is; its guest does not write."""
    disk = disk_of(agent, vm_id)
    if disk["storage_pool"] == "tank":
        source = ZVOL.format(volume=disk["volume"])
        return guest.run(f"head -c {size_mib}M {source} | sha256sum", timeout_s=600).split()[0]
    folder = next(pool["target"] for pool in agent.get("/api/storage") if pool["id"] == "local")
    file = f"{folder}/{disk['volume']}.{disk['format']}"
    guest.run(f"qemu-img convert -U -f {disk['format']} -O raw {file} /var/tmp/read", timeout_s=600)
    return guest.run(f"head -c {size_mib}M /var/tmp/read | sha256sum; rm /var/tmp/read").split()[0]


def volumes(agent: InstalledAgent, pool: str) -> list[str]:
    return [volume["name"] for volume in agent.get(f"/api/storage/{pool}/volumes")]


def is_clean(guest: Guest) -> None:
    guest.run("zpool scrub -w tank", timeout_s=900)
    assert "errors: No known data errors" in guest.run("zpool status tank")


def test_a_running_guests_disk_moves_to_a_zvol_grows_and_comes_back(pools: InstalledAgent, guest: Guest) -> None:
    expected = make_vm(pools, guest, "mover", SMALL_MIB, start=True)
    moved = pools.post("/api/vms/mover/disks/disk0/move", {"storage_pool": "tank"})
    assert (moved["status"], moved["disks"][0]["storage_pool"], moved["disks"][0]["format"]) == (
        "running",
        "tank",
        "raw",
    )
    assert volumes(pools, "local") == []
    assert "/dev/zvol/" in guest.run("virsh dumpxml $(virsh list --name | grep mover)")
    assert content(pools, guest, "mover", SMALL_MIB) == expected

    grown = pools.post("/api/vms/mover/disks/disk0/resize", {"size_gb": 0.125})
    assert grown["disks"][0]["size_gb"] == 0.12  # two decimals, of 0.125
    told = guest.run("virsh domblkinfo $(virsh list --name | grep mover) vda")
    assert str(128 * MIB) in told

    pools.post("/api/vms/mover/disks/disk0/move", {"storage_pool": "local"})
    assert volumes(pools, "tank") == []
    assert pools.get("/api/vms/mover")["status"] == "running"
    pools.post("/api/vms/mover/stop")
    assert content(pools, guest, "mover", SMALL_MIB) == expected
    is_clean(guest)
    pools.delete("/api/vms/mover")


@pytest.mark.parametrize("is_running", [False, True], ids=["stopped", "running"])
def test_a_power_cut_during_a_move_loses_nothing(pools: InstalledAgent, guest: Guest, is_running: bool) -> None:
    vm_id = f"cut-{is_running}".lower()
    expected = make_vm(pools, guest, vm_id, LARGE_MIB, start=is_running)
    guest.run("sync")
    pools.begin("POST", f"/api/vms/{vm_id}/disks/disk0/move", {"storage_pool": "tank"})
    guest.wait_for("test $(zfs list -Hp -o refer -t volume | sort -n | tail -n 1) -gt 20000000")
    guest.kill()
    guest.start()
    guest.wait_for("zpool list tank")
    pools.start()
    assert disk_of(pools, vm_id)["storage_pool"] == "local"
    assert pools.get(f"/api/vms/{vm_id}")["status"] in {"stopped", "crashed"}
    assert volumes(pools, "tank") == []
    assert content(pools, guest, vm_id, LARGE_MIB) == expected
    is_clean(guest)

    moved = pools.post(f"/api/vms/{vm_id}/disks/disk0/move", {"storage_pool": "tank"})
    assert moved["disks"][0]["storage_pool"] == "tank"
    assert content(pools, guest, vm_id, LARGE_MIB) == expected
    pools.delete(f"/api/vms/{vm_id}")
    is_clean(guest)
