"""Volumes (disks of VMs) and images (what disks are begun from, and ISO files) of a pool."""

import re

import msgspec

from horcrux.errors import invalid_field
from horcrux.ids import PoolId, VmId

DISK_FORMATS = ("qcow2", "raw", "vmdk")
IMAGE_FORMATS = (*DISK_FORMATS, "iso")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,126}\Z")


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """`capacity_bytes` is what a guest sees, `allocation_bytes` what the pool has given to it."""

    pool: PoolId
    name: str
    format: str
    capacity_bytes: int
    allocation_bytes: int
    path: str
    """What QEMU opens."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded or fetched image, checked with `qemu-img`: it names no backing or data file. `sha256` is of the file as it came."""

    pool: PoolId
    name: str
    format: str
    size_bytes: int
    virtual_size_bytes: int
    sha256: str
    created_at: float


class VolumeUse(msgspec.Struct, frozen=True):
    """Who holds a volume, for the refusal of its deletion."""

    vm_id: VmId
    disk: str


def check_volume_name(value: str, field: str) -> str:
    """`value`, when it is 1 to 127 letters, digits, `.`, `_`, `+`, `-`, begins with a letter or digit, holds no `..`
    and does not end in `.part`, which marks what is not whole yet."""
    if not _NAME.match(value) or ".." in value or value.endswith(".part"):
        raise invalid_field(
            field,
            "1 to 127 letters, digits, '.', '_', '+' or '-', beginning with a letter or digit, "
            "without '..' and not ending in '.part'",
        )
    return value
