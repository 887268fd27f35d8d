"""Pools: where volumes and images live."""

import posixpath
from enum import StrEnum

import msgspec

from horcrux.errors import invalid_field
from horcrux.ids import NodeId, PoolId


class PoolType(StrEnum):
    DIR = "dir"
    ZFS = "zfs"
    NFS = "nfs"
    LVM = "lvm"
    ISCSI = "iscsi"
    RBD = "rbd"


class PoolDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `pool` in the Store.

    `target` is what the pool stands on: a folder for `dir`, `<host>:<path>` for `nfs`, a dataset for `zfs`, a volume group for
    `lvm`, the target's IQN for `iscsi`, Ceph's pool for `rbd`.
    """

    id: PoolId
    name: str
    storage_type: PoolType
    node: NodeId
    target: str
    created_at: float
    options: dict[str, str] = {}
    """What else its type needs, checked when it was made; no secrets but the names of files that hold them."""


class Health(StrEnum):
    """How far a pool can be trusted."""

    GOOD = "good"
    DEGRADED = "degraded"
    """It works, but has lost redundancy or has met errors: somebody has to act."""
    FAULTED = "faulted"
    """It does not work."""


class PoolSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes; `is_active` False means the host cannot reach it now and `reason` says why.

    `problems` are sentences, each about one thing that somebody has to look after (a disk that is gone, checksum errors).
    """

    id: PoolId
    is_active: bool
    total_bytes: int = 0
    available_bytes: int | None = 0
    """None where a pool that is active cannot tell."""
    reason: str = ""
    health: Health = Health.GOOD
    problems: tuple[str, ...] = ()


# fmt: off
_SYSTEM_FOLDERS = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root/.ssh", "/run/libvirt", "/sbin",
    "/sys", "/usr", "/var/lib/libvirt/qemu",
)
_TOO_WIDE = frozenset((
    "/", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var", "/var/lib", "/var/log",  # noqa: S108 - refused
))
# fmt: on


def check_pool_target(value: str, field: str) -> str:
    """`value` as the folder of a `dir` pool: absolute, without `..`, printable, and neither the system's own nor one
    that holds other people's folders (`/srv`; `/srv/vms` is fine)."""
    if not value.startswith("/") or len(value) > 512 or not value.isprintable():
        raise invalid_field(field, "the absolute path of a folder, up to 512 printable characters")
    if ".." in value.split("/"):
        raise invalid_field(field, "a path without '..'")
    path = "/" + posixpath.normpath(value).lstrip("/")
    if path in _TOO_WIDE or any(path == s or path.startswith(s + "/") for s in _SYSTEM_FOLDERS):
        raise invalid_field(field, f"{path} belongs to the system; take a folder of its own, such as /srv/vms")
    return path


class FoundPool(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool of ours could stand on: a zpool, a volume group. `target` as `PoolDocument.target` has it."""

    storage_type: PoolType
    target: str
    total_bytes: int
    available_bytes: int
    health: Health = Health.GOOD
    problems: tuple[str, ...] = ()


def overlaps(one: str, other: str) -> bool:
    """Whether one of two normalised folders (or datasets) is the other, or lies in it."""
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")
