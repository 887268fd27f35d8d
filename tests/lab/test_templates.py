"""Images, templates and clones on real ZFS: zvol clones, refused deletions, and a power cut in the middle of making clones."""

import pytest

from tests.lab.harness.guest import Guest
from tests.lab.harness.node import InstalledAgent
from tests.lab.harness.shape import Shape
from tests.support.agent_process import PASSWORD

LAB = Shape(guests=1, mem_mib=1536, cpus=2, disks=("3G",))
POOL = "tank"
CLONE = "/api/templates/tmpl-100/clone"


@pytest.fixture(scope="module")
def node(guest: Guest, agent: InstalledAgent) -> InstalledAgent:
    """The agent of a guest with a zpool that is a pool of it, and the template `tmpl-100` of 128 MiB in it."""
    guest.run("zpool create -O mountpoint=none tank /dev/vdb")
    agent.post("/api/storage", {"id": POOL, "storage_type": "zfs", "target": "tank/vms"})
    agent.post("/api/vms", {"id": "vm-100", "memory_mb": 64, "disks": [{"storage_pool": POOL, "size_gb": 0.125}]})
    device = "/dev/zvol/tank/vms/vm-100-disk0"
    guest.run(f"udevadm settle --exit-if-exists={device}; dd if=/dev/urandom of={device} bs=1M count=48 conv=fsync")
    agent.post("/api/templates", {"vm_id": "vm-100", "name": "Golden", "keep_vm": False})
    agent.enable()
    return agent


def zvols(guest: Guest) -> dict[str, str]:
    """Origin (`-` for none) by name, of all volumes of the pool."""
    rows = guest.run("zfs list -Hr -t volume -o name,origin tank").splitlines()
    return {name.rpartition("/")[2]: origin for name, origin in (row.split("\t") for row in rows)}


def owned(node: InstalledAgent) -> dict[str, str | None]:
    """Base by volume, of all VMs and templates, which are all whole."""
    found: dict[str, str | None] = {}
    for row in node.get("/api/vms"):
        vm = node.get(f"/api/vms/{row['id']}")
        assert (vm["status"], vm["operation"]) == ("stopped", None)
        found |= {disk["volume"]: disk["base"] for disk in vm["disks"]}
    for template in node.get("/api/templates"):
        assert template["state"] == "ready"
        found |= {disk["volume"]: None for disk in template["disks"]}
    return found


def remove_vms(node: InstalledAgent) -> None:
    for row in node.get("/api/vms"):
        node.delete(f"/api/vms/{row['id']}")


def test_an_image_of_the_pool_is_there_for_the_whole_host_and_a_disk_begins_from_it(
    guest: Guest, node: InstalledAgent
) -> None:
    guest.run(f"HORCRUX_PASSWORD='{PASSWORD}' horcrux login admin; head -c 24M /dev/urandom >/var/tmp/plain.raw")
    guest.run(f"horcrux image upload /var/tmp/plain.raw --pool {POOL}")
    folder = guest.run("findmnt -rn -t zfs -S tank/vms/images -o TARGET").strip()  # of the host's own mounts
    guest.run(f"cmp /var/tmp/plain.raw {folder}/plain.raw")
    node.post("/api/vms", {"id": "vm-101", "memory_mb": 64, "disks": [{"storage_pool": POOL, "image": "plain.raw"}]})
    device = "/dev/zvol/tank/vms/vm-101-disk0"
    guest.run(f"udevadm settle --exit-if-exists={device}; cmp -n {24 * 2**20} /var/tmp/plain.raw {device}")
    remove_vms(node)
    node.delete(f"/api/storage/{POOL}/images/plain.raw")


def test_a_guest_opens_an_image_of_the_pool_in_its_drive(guest: Guest, node: InstalledAgent) -> None:
    guest.run("truncate -s 1M /var/tmp/drive.iso; printf CD001 | dd of=/var/tmp/drive.iso bs=1 seek=32769 conv=notrunc")
    guest.run(f"horcrux image upload /var/tmp/drive.iso --pool {POOL}")
    node.post("/api/vms", {"id": "vm-106", "memory_mb": 64, "nics": [], "cdrom": f"{POOL}/drive.iso"})
    assert node.post("/api/vms/vm-106/start")["status"] == "running"
    refused = node.delete(f"/api/storage/{POOL}/images/drive.iso", status=409)
    assert refused["code"] == "in_use"
    node.post("/api/vms/vm-106/stop")
    remove_vms(node)
    node.delete(f"/api/storage/{POOL}/images/drive.iso")


def test_a_linked_clone_is_a_zfs_clone_that_takes_nothing(guest: Guest, node: InstalledAgent) -> None:
    clone = node.post(CLONE, {"new_vm_id": "vm-102", "clone_type": "linked"})
    assert [disk["base"] for disk in clone["disks"]] == ["base-100-disk0"]
    assert zvols(guest)["vm-102-disk0"].startswith("tank/vms/base-100-disk0@")
    used = int(guest.run("zpool sync tank; zfs get -Hpo value referenced,used tank/vms/vm-102-disk0").split()[1])
    assert used < 1_000_000
    remove_vms(node)


def test_a_full_clone_has_the_same_content_and_no_origin(guest: Guest, node: InstalledAgent) -> None:
    node.post(CLONE, {"new_vm_id": "vm-103", "clone_type": "full"})
    assert zvols(guest)["vm-103-disk0"] == "-"
    folder = "/dev/zvol/tank/vms"
    guest.run(f"udevadm settle --exit-if-exists={folder}/vm-103-disk0")
    guest.run(f"cmp {folder}/base-100-disk0 {folder}/vm-103-disk0")
    remove_vms(node)


def test_a_template_with_linked_clones_is_not_deleted_and_names_them(node: InstalledAgent) -> None:
    for vm_id in ("vm-104", "vm-105"):
        node.post(CLONE, {"new_vm_id": vm_id})
    refused = node.delete("/api/templates/tmpl-100", status=409)
    assert (refused["code"], refused["used_by"]) == ("in_use", ["vm-104", "vm-105"])
    volume = node.delete(f"/api/storage/{POOL}/volumes/base-100-disk0", status=409)
    assert volume["used_by"]["template"] == "tmpl-100"
    remove_vms(node)


@pytest.mark.parametrize("clone_type", ["linked", "full"])
def test_a_power_cut_leaves_each_clone_whole_or_not_there(guest: Guest, node: InstalledAgent, clone_type: str) -> None:
    orders = [{"new_vm_id": f"{clone_type}-{i}", "clone_type": clone_type} for i in range(4)]
    for order in orders:
        node.begin("POST", CLONE, order)
    guest.wait_for(f"zfs list -H -o name -t volume | grep -q {clone_type}-")
    guest.kill()
    guest.start()
    guest.wait_for("zpool list tank")
    node.until_healthy()
    guest.wait_for("virsh -q list --all >/dev/null")
    there = zvols(guest)
    wanted = owned(node)
    assert set(there) == set(wanted)
    assert all(there[name].startswith(f"tank/vms/{base}@") for name, base in wanted.items() if base)
    assert {task["state"] for task in node.get("/api/tasks")} <= {"completed", "failed"}
    guest.run("zpool scrub -w tank", timeout_s=600)
    assert "errors: No known data errors" in guest.run("zpool status tank")
    remove_vms(node)
    assert set(zvols(guest)) == {"base-100-disk0"}


def test_a_template_without_clones_goes_with_its_volumes(guest: Guest, node: InstalledAgent) -> None:
    node.delete("/api/templates/tmpl-100")
    assert zvols(guest) == {}
