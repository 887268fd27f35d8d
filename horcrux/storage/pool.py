"""Pools: where volumes and images live."""

from enum import StrEnum

import msgspec

from horcrux.ids import NodeId, PoolId


class PoolType(StrEnum):
    DIR = "dir"
    ZFS = "zfs"
    NFS = "nfs"
    LVM = "lvm"
    ISCSI = "iscsi"
    RBD = "rbd"


class PoolDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `pool` in the Store. `target` is a folder for `dir`."""

    id: PoolId
    name: str
    storage_type: PoolType
    node: NodeId
    target: str
    created_at: float


class PoolSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes; `is_active` False means the host cannot reach it now and `reason` says why."""

    id: PoolId
    is_active: bool
    total_bytes: int = 0
    available_bytes: int = 0
    reason: str = ""
