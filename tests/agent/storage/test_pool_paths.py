"""What the drivers of block and network pools make of words: paths for QEMU, refusals of LVM."""

import pytest

from agent.storage import lvm
from agent.storage.libvirt_rbd import rbd_path
from agent.storage.lvm import LogicalVolume
from horcrux.errors import AlreadyExists, HorcruxError, InUse, NoSpace, Unavailable, Unreachable
from horcrux.storage.pool import PoolType
from tests.support.block_pools import pool_on


def test_an_image_of_ceph_is_named_with_monitors_user_and_the_file_of_the_key() -> None:
    pool = pool_on(
        PoolType.RBD,
        "fast",
        "vms",
        monitors="ceph-1,192.0.2.2:6789,[2001:db8::3]:3300",
        user="horcrux",
        key_file="/etc/k",
    )
    assert rbd_path(pool, "vm-1") == (
        r"rbd:vms/vm-1:id=horcrux:keyfile=/etc/k:mon_host=ceph-1\;192.0.2.2\:6789\;[2001\:db8\:\:3]\:3300"
    )
    assert rbd_path(pool_on(PoolType.RBD, "fast", "vms", monitors="ceph-1"), "vm-1") == "rbd:vms/vm-1:mon_host=ceph-1"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ('  Volume group "vg9" not found\n  Cannot process volume group vg9', Unavailable),
        ('  Logical Volume "a" already exists in volume group "vg0"', AlreadyExists),
        ('  Volume group "vg0" has insufficient free space (3 extents): 25 required.', NoSpace),
        ("  Logical volume vg0/a in use.", InUse),
        ("  Logical volume vg0/a contains a filesystem in use.", InUse),
        ("  WARNING: thin pool is large\n  something new", Unreachable),
    ],
)
def test_what_lvm_refuses_is_one_of_our_errors_with_its_words(words: str, kind: type[HorcruxError]) -> None:
    error = lvm._failure("lvcreate", words)
    assert type(error) is kind
    assert "WARNING" not in str(error)


def row(**more: str) -> LogicalVolume:
    known = dict.fromkeys(
        ("lv_name", "lv_path", "pool_lv", "origin", "lv_tags", "data_percent", "metadata_percent", "lv_attr"), ""
    )
    return LogicalVolume(**{**known, **more}, lv_size=1000, lv_health_status="")


def test_a_thin_volume_has_what_is_mapped_and_a_thick_one_all() -> None:
    assert row(data_percent="25.50").used_bytes == 255
    assert row().used_bytes == 1000
    assert row(lv_tags="a,horcrux.n1").tags == {"a", "horcrux.n1"}
    assert row(lv_attr="Vwi-a-tz--").is_active
    assert not row(lv_attr="Vwi---tz--").is_active
