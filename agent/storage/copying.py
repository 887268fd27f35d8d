"""What every driver that fills volumes with `qemu-img` asks of the source first. All functions block."""

import os
import stat
from pathlib import Path

from agent.durable import disk_errors
from horcrux.errors import HostLacks, NotFound
from horcrux.storage import image_check
from horcrux.storage.image_check import sniff
from horcrux.storage.qcow2 import HEAD_BYTES, read_header

_NETWORK = ("rbd:",)
"""How paths begin that QEMU opens itself."""


def check_source(name: str, source: str) -> None:
    """What volume `name` is to be filled from is there, as far as this host can see; NotFound."""
    if not source.startswith(_NETWORK) and not Path(source).exists():
        raise NotFound(f"what volume {name} is to be copied from is not there: {source}")


def content_bytes(name: str, source: str, format_: str) -> int:
    """How much `source` holds, opened as `format_`, for volume `name` to be made large enough. NotFound; Unavailable."""
    if source.startswith(_NETWORK):
        raise HostLacks(f"volume {name}: what lies behind a protocol is copied to a folder pool first: {source}")
    with disk_errors(f"what volume {name} is to be copied from cannot be read: {source}"):
        check_source(name, source)
        return _content_bytes(source, format_)


def _content_bytes(source: str, format_: str) -> int:
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if format_ == "qcow2":
            return read_header(os.read(fd, HEAD_BYTES), source).virtual_size_bytes
        mode = os.fstat(fd).st_mode
        size_bytes = os.lseek(fd, 0, os.SEEK_END)
        if format_ == "vmdk" and stat.S_ISREG(mode):
            return sniff(os.pread(fd, image_check.HEAD_BYTES, 0), size_bytes).virtual_size_bytes
        return size_bytes
    finally:
        os.close(fd)
