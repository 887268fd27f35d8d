"""What an image is, judged by its content, and whether it may be kept.

An image comes from outside and QEMU follows what it names: a qcow2 file can have a backing file or an external data file,
a VMDK can be a text that lists extents, and each may be `/etc/shadow`. `qemu-img info` itself opened data files until
CVE-2024-4467 was fixed. So the header is read here first, without QEMU (`sniff`), and only what passes is shown to
`qemu-img info -f <what we found>` as a second opinion (`judge`). What is neither qcow2, VMDK nor ISO 9660 is raw, and is
opened as raw from then on: QEMU is never left to guess.

Layouts: qemu docs/interop/qcow2.txt; VMware "Virtual Disk Format 5.0"; ECMA-119 section 8.
"""

import re
import struct
from collections.abc import Mapping

import msgspec

from horcrux.errors import Invalid
from horcrux.storage.volume import MAX_SIZE_BYTES

HEAD_BYTES = 128 * 1024
"""How much of the beginning of a file `sniff` needs."""

_QCOW2 = struct.Struct(">4sIQIIQI")
_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_CORRUPT, _QCOW2_DATA_FILE = 2, 4
_QCOW2_KNOWN = 0b11111
_QCOW2_EXT_DATA_FILE, _QCOW2_EXT_LUKS = 0x44415441, 0x0537BE77
_VMDK = struct.Struct("<4sIIQQQQ")
_VMDK_TYPES = {"monolithicsparse", "streamoptimized"}
_EXTENT = re.compile(rb"^(?:RW|RDONLY|NOACCESS)[ \t]+\d+[ \t]+(\S+)[ \t]+(.*)$", re.MULTILINE | re.IGNORECASE)
_ISO_AT, _ISO_MAGIC = 32769, b"CD001"

_UNWANTED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1f\x8b", "compressed by gzip; decompress it first"),
    (0, b"\xfd7zXZ\x00", "compressed by xz; decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd; decompress it first"),
    (0, b"BZh", "compressed by bzip2; decompress it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"PK\x03\x04", "a zip archive; unpack it first"),
    (257, b"ustar", "a tar archive (an OVA is one); unpack it and take the disk in it"),
    (64, b"\x7f\x10\xda\xbe", "a VirtualBox disk; convert it first: qemu-img convert -O qcow2"),
    (0, b"vhdxfile", "a VHDX disk; convert it first: qemu-img convert -O qcow2"),
    (0, b"conectix", "a VHD disk; convert it first: qemu-img convert -O qcow2"),
    (0, b"QED\x00", "a QED disk; convert it first: qemu-img convert -O qcow2"),
    (0, b"LUKS\xba\xbe", "encrypted by LUKS; decrypt it first"),
    (0, b"COWD", "a VMDK of an old kind; convert it first: qemu-img convert -O qcow2"),
)


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The part of `qemu-img info --output=json` that we judge."""

    format: str
    virtual_size: int
    filename: str = ""
    backing_filename: str | None = None
    full_backing_filename: str | None = None
    encrypted: bool = False
    format_specific: Mapping[str, object] = {}


class Sniffed(msgspec.Struct, frozen=True):
    """`format` is one of IMAGE_FORMATS."""

    format: str
    virtual_size_bytes: int


def sniff(head: bytes, size_bytes: int) -> Sniffed:
    """What the file with this beginning (its first HEAD_BYTES) is; Invalid when it may not be kept."""
    if size_bytes == 0:
        raise Invalid("the image is empty")
    if head.startswith(_QCOW2_MAGIC):
        found = Sniffed("qcow2", _check_qcow2(head, size_bytes))
    elif head.startswith(b"KDMV"):
        found = Sniffed("vmdk", _check_vmdk(head))
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(b"# disk descriptorfile"):
        raise Invalid("the image is a VMDK description that names other files; upload the disk itself")
    elif head[_ISO_AT : _ISO_AT + 5] == _ISO_MAGIC:
        found = Sniffed("iso", size_bytes)
    else:
        for offset, magic, words in _UNWANTED:
            if head[offset : offset + len(magic)] == magic:
                raise Invalid(f"the image is {words}")
        found = Sniffed("raw", size_bytes)
    return _check_size(found)


def qemu_format(format_: str) -> str:
    """What QEMU calls it: an ISO file is raw to it."""
    return "raw" if format_ == "iso" else format_


def judge(info: ImageInfo, sniffed: Sniffed) -> Sniffed:
    """`sniffed` with the size as QEMU sees it; Invalid when QEMU sees something that we refuse."""
    if info.format != qemu_format(sniffed.format):
        raise Invalid(f"the image looks like {sniffed.format}, but QEMU takes it for {info.format}")
    if info.backing_filename or info.full_backing_filename:
        raise Invalid(_BACKING)
    if info.encrypted:
        raise Invalid(_ENCRYPTED)
    specific = info.format_specific.get("data")
    if isinstance(specific, Mapping):
        _judge_specific(specific, info.filename)
    return _check_size(Sniffed(sniffed.format, info.virtual_size))


_BACKING = (
    "the image has a backing file, which would be read from this host; flatten it first: qemu-img convert -O qcow2"
)
_DATA_FILE = (
    "the image keeps its data in another file, which would be read from this host; flatten it first: qemu-img convert"
)
_ENCRYPTED = "the image is encrypted; decrypt it first"
_DAMAGED = "the image is damaged"


def _check_size(found: Sniffed) -> Sniffed:
    if not 0 < found.virtual_size_bytes <= MAX_SIZE_BYTES:
        raise Invalid(f"the image says its disk has {found.virtual_size_bytes} bytes; the limit is {MAX_SIZE_BYTES}")
    return found


def _judge_specific(specific: Mapping[str, object], filename: str) -> None:
    if specific.get("data-file") or specific.get("data-file-raw"):
        raise Invalid(_DATA_FILE)
    if specific.get("corrupt"):
        raise Invalid(_DAMAGED)
    if "encrypt" in specific:
        raise Invalid(_ENCRYPTED)
    if specific.get("parent-cid", 0xFFFFFFFF) != 0xFFFFFFFF:
        raise Invalid(_BACKING)
    extents = specific.get("extents")
    for extent in extents if isinstance(extents, list) else ():
        if not isinstance(extent, Mapping) or extent.get("filename") != filename:
            raise Invalid(_DATA_FILE)


def _check_qcow2(head: bytes, size_bytes: int) -> int:
    """The virtual size. The data file's feature bit decides whether QEMU opens one (block/qcow2.c, qcow2_do_open)."""
    if len(head) < 104:
        raise Invalid(_DAMAGED)
    _, version, backing_at, backing_size, cluster_bits, size, crypt = _QCOW2.unpack_from(head)
    if version not in (2, 3):
        raise Invalid(f"the image is qcow of version {version}; only 2 and 3 are known")
    if backing_at or backing_size:
        raise Invalid(_BACKING)
    if crypt:
        raise Invalid(_ENCRYPTED)
    if not 9 <= cluster_bits <= 21:
        raise Invalid(_DAMAGED)
    if version == 3:
        (incompatible,) = struct.unpack_from(">Q", head, 72)
        if incompatible & _QCOW2_DATA_FILE:
            raise Invalid(_DATA_FILE)
        if incompatible & _QCOW2_CORRUPT or incompatible & ~_QCOW2_KNOWN:
            raise Invalid(_DAMAGED)
    l1_entries, l1_at, refcounts_at = struct.unpack_from(">IQQ", head, 36)
    if l1_at + 8 * l1_entries > size_bytes or refcounts_at >= size_bytes:
        raise Invalid("the image is cut off: its tables are not in it")
    _check_qcow2_extensions(head, 72 if version == 2 else struct.unpack_from(">I", head, 100)[0], 1 << cluster_bits)
    return int(size)


def _check_qcow2_extensions(head: bytes, at: int, cluster_bytes: int) -> None:
    end = min(len(head), cluster_bytes) - 8
    while at <= end:
        kind, length = struct.unpack_from(">II", head, at)
        if kind == 0:
            return
        if kind == _QCOW2_EXT_DATA_FILE:
            raise Invalid(_DATA_FILE)
        if kind == _QCOW2_EXT_LUKS:
            raise Invalid(_ENCRYPTED)
        at += 8 + -(-length // 8) * 8


def _check_vmdk(head: bytes) -> int:
    """The virtual size. With capacity 0 QEMU takes the embedded description for a list of files (block/vmdk.c)."""
    if len(head) < 512:
        raise Invalid(_DAMAGED)
    _, _, _, capacity, _, description_at, description_size = _VMDK.unpack_from(head)
    if capacity == 0:
        raise Invalid(_DATA_FILE)
    if b"parentFileNameHint" in head:
        raise Invalid(_BACKING)
    if description_at:
        if (description_at + description_size) * 512 > len(head) or description_size == 0:
            raise Invalid("the VMDK's description is not at its beginning")
        text = head[description_at * 512 : (description_at + description_size) * 512].split(b"\0", 1)[0]
        _check_vmdk_description(text)
    return int(capacity) * 512


def _check_vmdk_description(text: bytes) -> None:
    words = text.decode("utf-8", "replace")
    kind = re.search(r'^\s*createType\s*=\s*"?([A-Za-z0-9]+)', words, re.MULTILINE | re.IGNORECASE)
    if kind is None or kind.group(1).lower() not in _VMDK_TYPES:
        raise Invalid("the VMDK is of a kind that names other files; export it as monolithicSparse or streamOptimized")
    parent = re.search(r"^\s*parentCID\s*=\s*([0-9a-fA-F]+)", words, re.MULTILINE | re.IGNORECASE)
    if parent is not None and int(parent.group(1), 16) != 0xFFFFFFFF:
        raise Invalid(_BACKING)
    extents = _EXTENT.findall(text)
    if len(extents) > 1 or any(kind.upper() != b"SPARSE" or b"/" in name for kind, name in extents):
        raise Invalid(_DATA_FILE)
