"""Volumes (disks of VMs) and images (what disks are begun from, and ISO files) of a pool."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

import msgspec

from horcrux.errors import invalid_field
from horcrux.ids import PoolId, VmId
from horcrux.storage.network_source import NetworkSource
from horcrux.units import MIB, gib_to_bytes

DISK_FORMATS = ("qcow2", "raw", "vmdk")
IMAGE_FORMATS = (*DISK_FORMATS, "iso")
VOLUME_FORMATS = ("qcow2", "raw")
"""What we make volumes in; the first is the default."""
PART = ".part"
"""Ends the name of a file that is not whole yet."""
MAX_SIZE_GB = 65_536
MAX_SIZE_BYTES = gib_to_bytes(MAX_SIZE_GB)

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,126}\Z")


class VolumeKind(StrEnum):
    """What QEMU opens when it opens a volume."""

    FILE = "file"
    BLOCK = "block"
    """A block device of the host."""
    NETWORK = "network"
    """An image behind a protocol that QEMU itself speaks."""


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """`capacity_bytes` is what a guest sees, `allocation_bytes` what the pool has given to it."""

    pool: PoolId
    name: str
    format: str
    capacity_bytes: int
    allocation_bytes: int
    path: str
    """What QEMU opens: a file, a device, or `rbd:<pool>/<image>` with what qemu-img needs to know behind it."""
    kind: VolumeKind = VolumeKind.FILE
    network: NetworkSource | None = None
    """For kind `network` only."""
    base: str | None = None
    """The volume of the same pool that this one is a linked clone of."""


class HasVolume(Protocol):
    """A disk, or what else lies in a volume of a pool."""

    @property
    def storage_pool(self) -> PoolId: ...

    @property
    def volume(self) -> str: ...


def volume_lock(pool: str, name: str) -> str:
    """The lock of who makes, changes or deletes the volume."""
    return f"volume/{pool}/{name}"


def disk_locks(disks: Iterable[HasVolume]) -> list[str]:
    """The locks of their volumes, in their order."""
    return [volume_lock(disk.storage_pool, disk.volume) for disk in disks]


class VolumeOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a volume is to be kept; None: as its pool says. What a kind of pool cannot do is refused (Invalid), never ignored."""

    is_sparse: bool | None = None
    """Space is taken when it is written to, not promised beforehand."""
    block_size_bytes: int | None = None
    """A power of two."""
    compression: str | None = None
    """A word of ZFS's: `lz4`, `zstd`, `off`, …"""


AS_THE_POOL = VolumeOptions()


class VolumeSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """State of one volume at one time. `used_bytes` is what its deletion would free at least, None where the pool cannot tell."""

    name: str
    created_at: float
    used_bytes: int | None = None


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded or fetched image, checked with `qemu-img`: it names no backing or data file.

    `sha256` is of the file as it came."""

    pool: PoolId
    name: str
    format: str
    size_bytes: int
    virtual_size_bytes: int
    sha256: str
    created_at: float


class VolumeUse(msgspec.Struct, frozen=True):
    """Who holds a volume, a VM or a template, for the refusal of its deletion."""

    vm_id: VmId | None
    disk: str
    template: str | None = None

    @property
    def holder(self) -> str:
        """For a sentence."""
        return f"template {self.template}" if self.vm_id is None else f"VM {self.vm_id}"


def check_volume_name(value: str, field: str) -> str:
    """`value`, when it is 1 to 127 letters, digits, `.`, `_`, `+`, `-`, begins with a letter or digit, holds no `..`
    and does not end in `.part`, which marks what is not whole yet."""
    if not is_volume_name(value):
        raise invalid_field(
            field,
            "1 to 127 letters, digits, '.', '_', '+' or '-', beginning with a letter or digit, "
            "without '..' and not ending in '.part'",
        )
    return value


def is_volume_name(value: str) -> bool:
    """Whether `check_volume_name` lets it pass."""
    return bool(_NAME.match(value)) and ".." not in value and not value.endswith(PART)


def image_place(word: str, pool: str) -> tuple[str, str]:
    """Pool and name of the image that `word` names for a disk in `pool`: `<name>` of the same pool, or `<pool>/<name>`."""
    other, slash, name = word.partition("/")
    return (other, name) if slash else (pool, word)


def check_size_gb(value: float, field: str) -> int:
    """Bytes of `value` GiB, when it is above 0 and at most MAX_SIZE_GB; rounded up to 1 MiB."""
    if not 0 < value <= MAX_SIZE_GB:
        raise invalid_field(field, f"a size in GiB above 0 and up to {MAX_SIZE_GB}")
    return max(gib_to_bytes(value), MIB)


def check_sha256(value: str, field: str) -> str:
    """`value` in lower case, when it is a SHA-256 in hex."""
    lowered = value.lower()
    if not _SHA256.match(lowered):
        raise invalid_field(field, "a SHA-256 checksum: 64 hex digits")
    return lowered


def volume_file(name: str, format_: str) -> str:
    """Name of the file that holds a volume. The format is part of it and never found out from the content: a guest writes
    into a raw volume what it likes, also a qcow2 header that names a file of the host."""
    return f"{name}.{format_}"


def parse_volume_file(file: str) -> tuple[str, str] | None:
    """Name and format of the volume in `file`, None when the file is none of ours."""
    name, _, format_ = file.rpartition(".")
    if format_ not in VOLUME_FORMATS or not is_volume_name(name):
        return None
    return name, format_
