"""Snapshots of VMs on real ZFS, by the installed agent: their tree, reverts, deletions in any order, and power cuts."""

import time
from typing import Any

import pytest

from tests.lab.harness.guest import Guest, GuestError
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import Shape

LAB = Shape(guests=1, mem_mib=1536, cpus=2, disks=("3G",))
POOL = "tank"
VMS = dict(zip((f"cut-{n}" for n in range(6)), ("create", "delete", "revert") * 2, strict=True))
"""What is being done to each VM when the power is cut."""
SETTLES_S = 300


@pytest.fixture(scope="module")
def node(guest: Guest, agent: InstalledAgent) -> InstalledAgent:
    """The agent of a guest with a pool on ZFS; it starts with the guest."""
    guest.run("zpool create -O mountpoint=none tank /dev/vdb")
    agent.post("/api/storage", {"id": POOL, "storage_type": "zfs", "target": "tank/vms"})
    agent.enable()
    return agent


def make_vm(node: InstalledAgent, vm_id: str) -> None:
    disks = [{"storage_pool": POOL, "size_gb": 0.03125}]
    node.post("/api/vms", {"id": vm_id, "memory_mb": 64, "nics": [], "disks": disks})


def device(vm_id: str) -> str:
    return f"/dev/zvol/tank/vms/{vm_id}-disk0"


def write(guest: Guest, vm_id: str, letter: str) -> None:
    """The first MiB of its disk is full of the letter, which is on the platter."""
    path = device(vm_id)
    guest.run(
        f"udevadm settle --exit-if-exists={path}; head -c 1M /dev/zero | tr '\\0' {letter}"
        f" | dd of={path} bs=1M iflag=fullblock oflag=direct conv=fsync status=none"
    )


def letters(guest: Guest, vm_id: str) -> str:
    path = device(vm_id)
    return guest.run(
        f"udevadm settle --exit-if-exists={path}; dd if={path} bs=1M count=1 iflag=direct status=none | tr -s a-z"
    )


def snap(node: InstalledAgent, vm_id: str, name: str, **words: object) -> Any:
    return node.post(f"/api/vms/{vm_id}/snapshots", {"name": name, **words})


def tree(node: InstalledAgent, vm_id: str) -> dict[str, str | None]:
    """Parent by name; all are ready."""
    shown = node.get(f"/api/vms/{vm_id}/snapshots")
    assert {row["state"] for row in shown} <= {"ready"}
    return {row["name"]: row["parent"] for row in shown}


def on_disk(guest: Guest, vm_id: str) -> set[str]:
    rows = guest.run(f"zfs list -H -t snapshot -o name -d 1 tank/vms/{vm_id}-disk0").split()
    return {row.partition("@")[2] for row in rows}


def is_clean(guest: Guest) -> None:
    guest.run("zpool scrub -w tank", timeout_s=600)
    assert "errors: No known data errors" in guest.run("zpool status tank")


def test_snapshots_are_a_tree_that_is_reverted_to_and_deleted_in_any_order(guest: Guest, node: InstalledAgent) -> None:
    make_vm(node, "vm-1")
    for letter, name in zip("abc", ("one", "two", "three"), strict=True):
        write(guest, "vm-1", letter)
        assert snap(node, "vm-1", name)["is_current"]
    assert tree(node, "vm-1") == {"one": None, "two": "one", "three": "two"}
    write(guest, "vm-1", "d")

    refused = node.post("/api/vms/vm-1/snapshots/one/revert", {}, status=409)
    assert (refused["code"], refused["snapshots"]) == ("conflict", ["two", "three"])
    assert letters(guest, "vm-1") == "d"

    node.post("/api/vms/vm-1/snapshots/three/revert", {})
    assert letters(guest, "vm-1") == "c"
    node.delete("/api/vms/vm-1/snapshots/two")
    assert tree(node, "vm-1") == {"one": None, "three": "one"}
    assert letters(guest, "vm-1") == "c"
    node.delete("/api/vms/vm-1/snapshots/three")
    node.post("/api/vms/vm-1/snapshots/one/revert", {})
    assert letters(guest, "vm-1") == "a"
    assert on_disk(guest, "vm-1") == {"one"}
    node.delete("/api/vms/vm-1/snapshots/one")
    assert (tree(node, "vm-1"), on_disk(guest, "vm-1")) == ({}, set())
    node.delete("/api/vms/vm-1")


def test_a_running_vm_goes_on_where_its_memory_was_kept(guest: Guest, node: InstalledAgent) -> None:
    make_vm(node, "vm-2")
    write(guest, "vm-2", "a")
    node.post("/api/vms/vm-2/start")
    without = snap(node, "vm-2", "disks")
    assert (without["was_running"], without["has_memory"], without["is_consistent"]) == (True, False, False)
    kept = snap(node, "vm-2", "memory", memory=True)
    assert (kept["has_memory"], kept["is_consistent"]) == (True, True)
    assert kept["size_bytes"] > 100_000
    assert node.get("/api/vms/vm-2")["status"] == "running"
    write(guest, "vm-2", "b")
    back = node.post("/api/vms/vm-2/snapshots/memory/revert", {})
    assert back["status"] == "running"
    assert letters(guest, "vm-2") == "a"
    node.delete("/api/vms/vm-2/snapshots/memory")
    stopped = node.post("/api/vms/vm-2/snapshots/disks/revert", {"start": False})
    assert stopped["status"] == "stopped"
    node.delete("/api/vms/vm-2")
    assert "vm-2" not in guest.run("zfs list -H -t all -o name -r tank")


def test_a_power_cut_leaves_each_snapshot_whole_or_not_there(guest: Guest, node: InstalledAgent) -> None:
    for vm_id in VMS:
        make_vm(node, vm_id)
        for letter, name in zip("ab", ("one", "two"), strict=True):
            write(guest, vm_id, letter)
            snap(node, vm_id, name)
        write(guest, vm_id, "c")
    tasks = [begin(node, vm_id, act) for vm_id, act in VMS.items()]
    guest.wait_for("zfs list -H -t snapshot -o name | grep -q @late")
    guest.kill()
    guest.start()
    guest.wait_for("zpool list tank")
    node.until_healthy()
    until_settled(node)
    ended = [node.ended(task) for task in tasks]
    print([(task["action"], task["state"]) for task in ended])
    assert {task["state"] for task in ended} <= {"completed", "failed"}
    for vm_id, act in VMS.items():
        is_as_before_or_after(guest, node, vm_id, act)
    is_clean(guest)
    for vm_id in VMS:
        node.delete(f"/api/vms/{vm_id}")
    assert "cut-" not in guest.run("zfs list -H -t all -o name -r tank")


def begin(node: InstalledAgent, vm_id: str, act: str) -> str:
    snapshots = f"/api/vms/{vm_id}/snapshots"
    match act:
        case "create":
            return node.begin("POST", snapshots, {"name": "late"})
        case "delete":
            return node.begin("DELETE", f"{snapshots}/two")
        case _:
            return node.begin("POST", f"{snapshots}/two/revert", {})


def until_settled(node: InstalledAgent) -> None:
    """Nothing is left half done: what the host did not let the agent do at its start, it tries again."""
    deadline = time.monotonic() + SETTLES_S
    while left := unsettled(node):
        if time.monotonic() > deadline:
            raise GuestError(f"after {SETTLES_S} s: {left}\n{node.journal()}")
        time.sleep(0.5)


def unsettled(node: InstalledAgent) -> list[Any]:
    rows = [vm for vm in node.get("/api/vms") if vm["operation"] is not None or vm["status"] != "stopped"]
    snapshots = [row for vm_id in VMS for row in node.get(f"/api/vms/{vm_id}/snapshots")]
    return rows + [row for row in snapshots if row["state"] != "ready"]


def is_as_before_or_after(guest: Guest, node: InstalledAgent, vm_id: str, act: str) -> None:
    """And in the latter case wholly so: the VM, what ZFS has, and the content agree."""
    known = tree(node, vm_id)
    assert on_disk(guest, vm_id) == set(known)
    after: dict[str, str | None]
    match act:
        case "create":
            after = {"one": None, "two": "one", "late": "two"}
        case "delete":
            after = {"one": None}
        case _:
            after = {"one": None, "two": "one"}
    assert known in ({"one": None, "two": "one"}, after)
    assert letters(guest, vm_id) in ({"b", "c"} if act == "revert" else {"c"})
