"""What a qcow2 file says of itself, read without QEMU (qemu docs/interop/qcow2.txt).

Reading it here opens nothing but the file: QEMU and libvirt would follow what it names. And it needs no lock, so it can be
read while a guest runs on it.
"""

import struct

import msgspec

from horcrux.errors import Unreachable

HEAD_BYTES = 4096
"""What QEMU writes of header, extensions and backing file's name lies within; `read_header` asks for more by its error."""
SNAPSHOT_BYTES = 2048
"""An entry of the snapshot table is never larger with names as QEMU and we make them."""

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_MAGIC = b"QFI\xfb"
_DATA_FILE = 0b100
_EXT_END, _EXT_BACKING_FORMAT = 0, 0xE2792ACA
_SNAPSHOT = struct.Struct(">QIHHIIQII")
_MAX_SNAPSHOTS = 65_536


class Qcow2Header(msgspec.Struct, frozen=True, kw_only=True):
    """`backing_file` as it is written in the file; `backing_format` None when it does not say."""

    virtual_size_bytes: int
    backing_file: str | None
    backing_format: str | None
    has_data_file: bool
    snapshot_count: int
    snapshots_at: int


class Qcow2Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A state that the file keeps. `id` is the file's own for it, `memory_bytes` what it holds of a machine's memory."""

    id: str
    name: str
    created_at: float
    memory_bytes: int


def read_header(head: bytes, what: str) -> Qcow2Header:
    """From the first HEAD_BYTES of the file called `what`; Unreachable when it is no qcow2 file."""
    if len(head) < 72 or not head.startswith(_MAGIC):
        raise Unreachable(f"{what} is damaged: it does not begin as a qcow2 file does")
    fields = _HEADER.unpack_from(head)
    version, backing_at, backing_bytes, size, count, snapshots_at = (*fields[1:4], fields[5], fields[11], fields[12])
    if version not in (2, 3) or count > _MAX_SNAPSHOTS or (version == 3 and len(head) < 104):
        raise Unreachable(f"{what} is damaged, or of a newer kind of qcow2 than this agent knows")
    features, begin = (
        (0, 72) if version == 2 else (struct.unpack_from(">Q", head, 72)[0], struct.unpack_from(">I", head, 100)[0])
    )
    if backing_at + backing_bytes > len(head):
        raise Unreachable(f"{what} is damaged: the name of its backing file lies outside its header")
    return Qcow2Header(
        virtual_size_bytes=size,
        backing_file=head[backing_at : backing_at + backing_bytes].decode("utf-8", "replace") if backing_at else None,
        backing_format=_backing_format(head, begin) if backing_at else None,
        has_data_file=bool(features & _DATA_FILE),
        snapshot_count=count,
        snapshots_at=snapshots_at,
    )


def _backing_format(head: bytes, at: int) -> str | None:
    while at + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, at)
        if kind == _EXT_END:
            return None
        if kind == _EXT_BACKING_FORMAT:
            return head[at + 8 : at + 8 + length].decode("utf-8", "replace")
        at += 8 + -(-length // 8) * 8
    return None


def read_snapshots(table: bytes, count: int, what: str) -> list[Qcow2Snapshot]:
    """The `count` entries with which `table` begins, in the file's order, which is that of their making."""
    found, at = [], 0
    for _ in range(count):
        if at + _SNAPSHOT.size > len(table):
            raise Unreachable(f"{what} is damaged: its list of snapshots ends early")
        _, _, id_bytes, name_bytes, seconds, nanoseconds, _, memory, extra = _SNAPSHOT.unpack_from(table, at)
        begin = at + _SNAPSHOT.size + extra
        middle, end = begin + id_bytes, begin + id_bytes + name_bytes
        if end > len(table):
            raise Unreachable(f"{what} is damaged: its list of snapshots ends early")
        if extra >= 8:  # the same size in 64 bits
            memory = struct.unpack_from(">Q", table, at + _SNAPSHOT.size)[0]
        found.append(
            Qcow2Snapshot(
                id=table[begin:middle].decode("utf-8", "replace"),
                name=table[middle:end].decode("utf-8", "replace"),
                created_at=seconds + nanoseconds / 1e9,
                memory_bytes=memory,
            )
        )
        at += -(-(end - at) // 8) * 8
    return found
