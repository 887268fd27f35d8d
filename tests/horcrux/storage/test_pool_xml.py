"""The golden files beside this test are what libvirt has been proven to accept (tests/agent/storage). After a wanted change:
`HORCRUX_GOLDEN=write pytest tests/horcrux/storage/test_pool_xml.py`, and read the difference."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from horcrux.errors import HostLacks, InvalidFields
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.pool_options import check_pool
from horcrux.storage.pool_xml import pool_target, pool_xml, same_place, secret_xml

GOLDEN = Path(__file__).parent / "golden"
NAME = "hx-n0123abcd-fast"
KEY = {"user": "horcrux", "key_file": "/etc/horcrux/key"}
IQN = "iqn.2024-01.com.example:vms"


def document(storage_type: PoolType, target: str, **options: str) -> PoolDocument:
    kept, checked = check_pool(storage_type, target, options)
    return PoolDocument(
        id=PoolId("fast"),
        name="Fast",
        storage_type=storage_type,
        node=NodeId("n0123abcd"),
        target=kept,
        options=checked,
        created_at=1.0,
    )


POOLS = {
    "dir": document(PoolType.DIR, "/srv/vms"),
    "nfs": document(PoolType.NFS, "nas.example:/export/vms/", version="4.2"),
    "nfs-ipv6": document(PoolType.NFS, "[2001:db8::1]:/export/a b & <c>"),
    "iscsi": document(PoolType.ISCSI, IQN, portal="192.0.2.7:3260"),
    "iscsi-with-a-user": document(
        PoolType.ISCSI, IQN, portal="[2001:db8::7]", initiator="iqn.2024-01.com.example:n1", **KEY
    ),
    "rbd": document(PoolType.RBD, "vms", monitors="ceph-1, ceph-2:6789,[2001:db8::3]:3300", **KEY),
    "rbd-without-a-user": document(PoolType.RBD, "vms", monitors="ceph-1"),
}


def golden(name: str, made: str) -> str:
    file = GOLDEN / f"{name}.xml"
    if os.environ.get("HORCRUX_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(made)
    return file.read_text()


@pytest.mark.parametrize("name", POOLS)
def test_the_xml_of_a_pool_is_the_golden_one(name: str) -> None:
    made = pool_xml(POOLS[name], NAME, "/state/mounts/fast")
    assert made == golden(name, made)
    assert same_place(made, made)


@pytest.mark.parametrize("name", ["iscsi-with-a-user", "rbd"])
def test_the_xml_of_a_secret_is_the_golden_one_and_holds_none(name: str) -> None:
    made = secret_xml(POOLS[name], NAME)
    assert made == golden(f"secret-of-{name}", made)
    assert "/etc/horcrux/key" not in made


@pytest.mark.parametrize("storage_type", [PoolType.LVM, PoolType.ZFS])
def test_what_has_a_driver_of_its_own_is_never_given_to_libvirt(storage_type: PoolType) -> None:
    with pytest.raises(HostLacks, match=storage_type):
        pool_xml(replace(POOLS["dir"], storage_type=storage_type), NAME, "/x")


def test_another_place_is_not_the_same() -> None:
    made = {name: pool_xml(pool, NAME, "/x") for name, pool in POOLS.items()}
    for one, xml in made.items():
        assert [other for other, theirs in made.items() if same_place(xml, theirs)] == [one]


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=50))
def test_any_printable_folder_survives_xml(folder: str) -> None:
    assert pool_target(pool_xml(POOLS["dir"], NAME, "/srv/" + folder)) == "/srv/" + folder


@pytest.mark.parametrize(
    ("storage_type", "target", "options", "field"),
    [
        (PoolType.DIR, "/srv/vms", {"thin_pool": "x"}, "options.thin_pool"),
        (PoolType.DIR, "srv", {}, "target"),
        (PoolType.NFS, "/export/vms", {}, "target"),
        (PoolType.NFS, "nas:export", {}, "target"),
        (PoolType.NFS, "-o,remount:/export", {}, "target"),
        (PoolType.NFS, "nas.example:/a/../b", {}, "target"),
        (PoolType.NFS, "2001:db8::1:/export", {}, "target"),
        (PoolType.NFS, "nas:/export", {"version": "5"}, "options.version"),
        (PoolType.NFS, "nas:/export", {"mount": "exec"}, "options.mount"),
        (PoolType.LVM, "-vg0", {}, "target"),
        (PoolType.LVM, "vg0/thin", {}, "target"),
        (PoolType.LVM, "..", {}, "target"),
        (PoolType.LVM, "vg0", {"thin_pool": "--force"}, "options.thin_pool"),
        (PoolType.ISCSI, "target1", {"portal": "nas"}, "target"),
        (PoolType.ISCSI, IQN, {}, "options.portal"),
        (PoolType.ISCSI, IQN, {"portal": "nas:99999"}, "options.portal"),
        (PoolType.ISCSI, IQN, {"portal": "nas", "initiator": "me"}, "options.initiator"),
        (PoolType.ISCSI, IQN, {"portal": "nas", "user": "ada"}, "options.key_file"),
        (PoolType.RBD, "vms/a", {"monitors": "ceph-1"}, "target"),
        (PoolType.RBD, "vms", {}, "options.monitors"),
        (PoolType.RBD, "vms", {"monitors": "ceph-1,,"}, "options.monitors"),
        (PoolType.RBD, "vms", {"monitors": "ceph-1", "key_file": "/k"}, "options.user"),
        (PoolType.RBD, "vms", {"monitors": "ceph-1", "user": "a", "key_file": "k"}, "options.key_file"),
        (PoolType.RBD, "vms", {"monitors": "ceph-1", "user": "a:b", "key_file": "/k"}, "options.user"),
        (PoolType.RBD, "vms", {"monitors": "ceph-1", "user": "a", "key_file": "/k:mon_host=x"}, "options.key_file"),
    ],
)
def test_what_a_pool_cannot_stand_on_is_refused_with_the_field(
    storage_type: PoolType, target: str, options: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidFields) as refused:
        check_pool(storage_type, target, options)
    assert [problem.field for problem in refused.value.problems] == [field]


def test_a_checked_target_stays_as_it_is_when_it_is_checked_again() -> None:
    for pool in POOLS.values():
        assert check_pool(pool.storage_type, pool.target, pool.options) == (pool.target, pool.options)
