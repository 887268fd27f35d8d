"""How pools and volumes look on ZFS: names, sizes and options as operators know them, checked without opening anything.

pool    dataset <target>             `tank`, `tank/vms`; marked as ours, so that no second node takes it
volume  zvol    <target>/<volume>    /dev/zvol/<target>/<volume>
base    zvol    <target>/<base>      with the snapshot @__base__, from which linked clones are made
images  dataset <target>/images      ISO files and what disks are begun from
backups dataset <target>/backups     made when the first backup needs it
"""

import re
from collections.abc import Mapping
from typing import Self

import msgspec

from horcrux.errors import invalid_field
from horcrux.storage.volume import VolumeOptions
from horcrux.units import MIB

NODE_MARK = "horcrux:node"
"""User property on every dataset that is ours, with the id of its node. One that is merely inherited says nothing."""
POOL_MARK = "horcrux:pool"
STATE_MARK = "horcrux:state"
"""`filling` until a volume is whole, then `ready`."""
FILLING = "filling"
READY = "ready"

BASE_SNAPSHOT = "__base__"
IMAGES = "images"
BACKUPS = "backups"
MAX_NAME = 255
"""MAXNAMELEN - 1 (zfs_namecheck.h), the snapshot's name included."""
OPTIONS = ("sparse", "block_size", "compression", "encryption", "key_file")

_RESERVED = frozenset({IMAGES, BACKUPS})
_SNAPSHOT_SPARE = 64
_COMPONENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*\Z")
_ZPOOL = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*\Z")
_BLOCK_SIZE = re.compile(r"([0-9]{1,6})([Kk]?)\Z")
_COMPRESSION = re.compile(r"on|off|lz4|zle|lzjb|gzip(?:-[1-9])?|zstd(?:-(?:[1-9]|1[0-9]))?\Z")
_ENCRYPTION = ("on", "aes-128-ccm", "aes-192-ccm", "aes-256-ccm", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm")


class ZfsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Of a pool. None: as ZFS does it, or the dataset above."""

    is_sparse: bool = True
    block_size_bytes: int | None = None
    compression: str | None = None
    encryption: str | None = None
    key_file: str | None = None
    """Holds the 32 bytes of the key, or its 64 hex digits."""

    @classmethod
    def of(cls, options: Mapping[str, str], field: str = "options") -> Self:
        """Invalid, naming `<field>.<key>`."""
        for key in options:
            if key not in OPTIONS:
                raise invalid_field(
                    f"{field}.{key[:40]}", f"not an option of ZFS pools; there are {', '.join(OPTIONS)}"
                )
        sparse, size = options.get("sparse", "true"), options.get("block_size")
        if sparse not in ("true", "false"):
            raise invalid_field(f"{field}.sparse", "true or false")
        parsed = cls(
            is_sparse=sparse == "true",
            block_size_bytes=None if size is None else parse_block_size(size, f"{field}.block_size"),
            compression=_checked_compression(options.get("compression"), f"{field}.compression"),
            encryption=options.get("encryption"),
            key_file=options.get("key_file"),
        )
        parsed.check_key(field)
        return parsed

    def check_key(self, field: str) -> None:
        """Encryption and the file of its key come together."""
        if self.encryption is not None and self.encryption not in _ENCRYPTION:
            raise invalid_field(f"{field}.encryption", f"one of {', '.join(_ENCRYPTION)}")
        if self.encryption is not None and self.key_file is None:
            raise invalid_field(f"{field}.key_file", "needed with encryption: the file that holds the key")
        if self.key_file is not None and self.encryption is None:
            raise invalid_field(f"{field}.key_file", "only with encryption")
        path = self.key_file
        if path is not None and (not path.startswith("/") or len(path) > 512 or not path.isprintable()):
            raise invalid_field(f"{field}.key_file", "the absolute path of a file, up to 512 printable characters")

    def merged(self, options: VolumeOptions) -> VolumeOptions:
        """How a volume is to be made, where it does not differ as the pool says. Invalid."""
        if options.block_size_bytes is not None:
            check_block_size(options.block_size_bytes, "options.block_size_bytes")
        return VolumeOptions(
            is_sparse=self.is_sparse if options.is_sparse is None else options.is_sparse,
            block_size_bytes=options.block_size_bytes or self.block_size_bytes,
            compression=_checked_compression(options.compression, "options.compression") or self.compression,
        )


def check_zfs_pool(target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Target and options as they are kept; Invalid names the field."""
    check_dataset(target, "target")
    ZfsOptions.of(options)
    return target, dict(options)


def check_dataset(value: str, field: str) -> str:
    """`value` as the name of a dataset: a zpool, or components below it (zfs_namecheck.c), with room for volumes' names."""
    parts = value.split("/")
    is_named = _ZPOOL.match(parts[0]) is not None and all(_COMPONENT.match(p) and ".." not in p for p in parts[1:])
    if not is_named or len(value) > MAX_NAME - 2 * _SNAPSHOT_SPARE:
        raise invalid_field(
            field, f"a dataset such as tank or tank/vms, up to {MAX_NAME - 2 * _SNAPSHOT_SPARE} characters"
        )
    if parts[-1] in _RESERVED:
        raise invalid_field(field, f"a dataset that is not named {parts[-1]}: we keep such a one in every pool")
    return value


def volume_dataset(target: str, name: str, field: str = "name") -> str:
    """Dataset of a volume whose name `check_volume_name` has let pass; Invalid for what only ZFS forbids. A `+`, which ZFS does
    not allow, becomes a `:`, which volumes do not."""
    dataset = f"{target}/{name.replace('+', ':')}"
    if ":" in name or not _COMPONENT.match(name.replace("+", ":")):
        raise invalid_field(field, "letters, digits, '.', '_', '+' or '-' only: it becomes the name of a ZFS volume")
    if name in _RESERVED:
        raise invalid_field(field, f"another name than {name}, which is the pool's own dataset")
    if len(dataset) > MAX_NAME - _SNAPSHOT_SPARE:
        raise invalid_field(
            field, f"shorter: {dataset} and its snapshots must have names of up to {MAX_NAME} characters"
        )
    return dataset


def volume_name(target: str, dataset: str) -> str:
    """The volume that a dataset of the pool is; the whole dataset for one outside it."""
    name = dataset.removeprefix(f"{target}/")
    return dataset if name == dataset else name.replace(":", "+")


def zpool_of(dataset: str) -> str:
    """Of a dataset, a snapshot or a bookmark."""
    return re.split("[/@#]", dataset, maxsplit=1)[0]


def device_path(dataset: str) -> str:
    """The link that udev makes for a volume."""
    return f"/dev/zvol/{dataset}"


def padded_bytes(capacity_bytes: int) -> int:
    """The size ZFS takes for at least that many bytes: whole MiB, which every block size divides (as Proxmox VE does)."""
    return max(1, -(-capacity_bytes // MIB)) * MIB


def parse_block_size(value: str, field: str) -> int:
    """`16K`, `16k` or `16384`."""
    match = _BLOCK_SIZE.match(value)
    if match is None:
        raise invalid_field(field, "a power of two from 512 to 128K")
    return check_block_size(int(match[1]) * (1024 if match[2] else 1), field)


def check_block_size(value: int, field: str) -> int:
    if not 512 <= value <= 128 * 1024 or value & (value - 1):
        raise invalid_field(field, "a power of two from 512 to 128K")
    return value


def _checked_compression(value: str | None, field: str) -> str | None:
    if value is not None and not _COMPRESSION.fullmatch(value):
        raise invalid_field(field, "on, off, lz4, zle, lzjb, gzip, gzip-1 to gzip-9, zstd or zstd-1 to zstd-19")
    return value


def compression_index(word: str) -> int:
    """As the kernel has it (enum zio_compress; ZIO_COMPLEVEL_ZSTD puts the level above the 7 bits of the algorithm)."""
    plain = {"on": 1, "off": 2, "lzjb": 3, "gzip": 10, "zle": 14, "lz4": 15, "zstd": 16}
    if word in plain:
        return plain[word]
    algorithm, _, level = word.partition("-")
    return 4 + int(level) if algorithm == "gzip" else 16 | int(level) << 7


def encryption_index(word: str) -> int:
    """As the kernel has it (enum zio_encrypt)."""
    return {"on": 1}.get(word, _ENCRYPTION.index(word) + 2)
