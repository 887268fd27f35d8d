"""Volumes that are files of a folder: what the folder says of them, without asking libvirt or QEMU.

A volume `disk0` is the file `disk0.qcow2` or `disk0.raw`; what a file holds is told by its name, never by its content, which
is the guest's (a raw disk may begin like a qcow2 file that names `/etc/shadow`). A qcow2 file's header is QEMU's and no
guest's. It may name one thing only: another volume of the same folder, with its format. A file that names anything else was
not made by us, and is no volume: nothing that it names is ever opened.

All functions block.
"""

import os
import stat
from pathlib import Path

from agent.durable import disk_errors
from horcrux.errors import Conflict, HorcruxError
from horcrux.ids import PoolId
from horcrux.storage.qcow2 import (
    HEAD_BYTES,
    SNAPSHOT_BYTES,
    Qcow2Header,
    Qcow2Snapshot,
    read_header,
    read_snapshots,
)
from horcrux.storage.refusals import no_volume, volume_taken
from horcrux.storage.volume import VOLUME_FORMATS, Volume, parse_volume_file, volume_file

MAX_CHAIN = 64
"""Volumes that stand on each other; QEMU keeps one file open for each."""

_WRITABLE = 0o222


def list_folder(pool: PoolId, folder: str) -> list[Volume]:
    """By name; what is no volume is left out."""
    found = []
    with disk_errors(f"folder {folder} cannot be read"), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith((".qcow2", ".raw"))]
    for file in names:
        try:
            volume = _read_volume(pool, folder, file)
        except (HorcruxError, FileNotFoundError):  # not ours, or it went while we looked
            continue
        if volume is not None:
            found.append(volume)
    return sorted(found, key=lambda v: v.name)


def find_in_folder(pool: PoolId, folder: str, name: str) -> Volume:
    """The volume, with everything that it stands on looked at. NotFound; Conflict when its file names what it may not."""
    for format_ in VOLUME_FORMATS:
        try:
            volume = _read_volume(pool, folder, volume_file(name, format_))
        except FileNotFoundError:
            continue
        if volume is not None:
            _check_chain(pool, folder, volume)
            return volume
    raise no_volume(pool, name)


def clones_in_folder(pool: PoolId, folder: str, name: str) -> list[str]:
    """Names of the volumes that stand on it, sorted."""
    return [volume.name for volume in list_folder(pool, folder) if volume.base == name]


def check_free(pool: PoolId, folder: str, name: str) -> None:
    """AlreadyExists when there is a file of that volume, in whatever format."""
    for format_ in VOLUME_FORMATS:
        if os.path.lexists(os.path.join(folder, volume_file(name, format_))):  # noqa: PTH118 - Path has no lexists before 3.12
            raise volume_taken(pool, name)


def is_base(path: str) -> bool:
    """Whether the volume was made a base of clones: nobody may write to its file any more."""
    return not Path(path).stat().st_mode & _WRITABLE


def snapshots_in(path: str) -> list[Qcow2Snapshot]:
    """Of a qcow2 file, in the order of their making."""
    fd = _open(path)
    try:
        header = read_header(os.pread(fd, HEAD_BYTES, 0), path)
        table = os.pread(fd, header.snapshot_count * SNAPSHOT_BYTES, header.snapshots_at)
    finally:
        os.close(fd)
    return read_snapshots(table, header.snapshot_count, path)


def _read_volume(pool: PoolId, folder: str, file: str) -> Volume | None:
    """None for what is no volume: a folder, a link, a name that we do not make. FileNotFoundError."""
    parsed = parse_volume_file(file)
    if parsed is None:
        return None
    name, format_ = parsed
    path = f"{folder}/{file}"
    seen = os.lstat(path)
    if not stat.S_ISREG(seen.st_mode):
        return None
    capacity, base = seen.st_size, None
    if format_ == "qcow2":
        header = _header_of(path)
        capacity, base = header.virtual_size_bytes, _base_of(pool, name, header)
    return Volume(
        pool=pool,
        name=name,
        format=format_,
        capacity_bytes=capacity,
        allocation_bytes=seen.st_blocks * 512,
        path=path,
        base=base,
    )


def _header_of(path: str) -> Qcow2Header:
    fd = _open(path)
    try:
        return read_header(os.read(fd, HEAD_BYTES), path)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def _base_of(pool: PoolId, name: str, header: Qcow2Header) -> str | None:
    """The volume that a qcow2 header names; Conflict when it names anything else."""
    if header.has_data_file:
        raise Conflict(f"volume {name} of pool {pool} names a data file and is not ours; it is not used", volume=name)
    if header.backing_file is None:
        return None
    parsed = parse_volume_file(header.backing_file)
    if parsed is None or parsed[1] != header.backing_format:
        raise Conflict(
            f"volume {name} of pool {pool} names a backing file that is no volume of the pool; it is not used",
            volume=name,
        )
    return parsed[0]


def _check_chain(pool: PoolId, folder: str, volume: Volume) -> None:
    """Everything that QEMU will open with `volume` is a volume of the folder."""
    top, seen = volume, 0
    while volume.base is not None:
        seen += 1
        try:
            base = _read_volume(pool, folder, _backing_file(volume))
        except FileNotFoundError:
            base = None
        if base is None or seen > MAX_CHAIN:
            what = "is not there" if base is None else "is one of too many"
            raise Conflict(
                f"volume {top.name} of pool {pool} stands on volume {volume.base}, which {what}", volume=top.name
            )
        volume = base


def _backing_file(volume: Volume) -> str:
    """Name of the file that a clone's header names, which `_base_of` has found to be a volume's."""
    named = _header_of(volume.path).backing_file
    assert named is not None
    return named
