"""Files that are there whole or not at all: temp, fsync, rename, fsync the folder. All functions block."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from horcrux.errors import NoSpace, Unavailable
from horcrux.storage.volume import PART


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """The kernel's refusals as ours: NoSpace, else Unavailable."""
    try:
        yield
    except OSError as err:
        words = os.strerror(err.errno or 0)
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"{what}: {words}") from err
        raise Unavailable(f"{what}: {words}") from err


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(part: Path, final: Path) -> None:
    """The file `part` is on the disk, under the name `final`."""
    fd = os.open(part, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    part.rename(final)
    sync_folder(final.parent)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """`path` holds `content` with exactly `mode`, whatever the umask; whoever reads meanwhile sees the old or the new one."""
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(content)
    publish(part, path)
