"""Devices that hold nothing of who had their space before."""

import os
import subprocess

from agent.blocking import BlockingPool
from agent.durable import disk_errors
from horcrux.errors import HostLacks, Unavailable


async def fill_with_zeros(threads: BlockingPool, device: str, from_bytes: int = 0) -> None:
    """The device reads as zeros from byte `from_bytes` to its end, and does so after a power cut too. The kernel lets the disk
    do it where the disk can."""
    await threads.run(_fill, device, from_bytes)


def _fill(device: str, from_bytes: int) -> None:
    with disk_errors(f"{device} cannot be overwritten"):
        fd = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        try:
            end = os.lseek(fd, 0, os.SEEK_END)
            begin = min(-(-from_bytes // 512) * 512, end)
            if begin > from_bytes:
                os.pwrite(fd, bytes(begin - from_bytes), from_bytes)
            if begin < end:
                _zero_out(device, begin, end - begin)
            os.fsync(fd)
        finally:
            os.close(fd)


def _zero_out(device: str, offset: int, length: int) -> None:
    argv = ["blkdiscard", "--zeroout", "--offset", str(offset), "--length", str(length), device]
    try:
        done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise HostLacks("this host has no blkdiscard; install it (apt-get install util-linux)") from None
    if done.returncode != 0:
        raise Unavailable(f"{device} cannot be overwritten: {done.stderr.strip()[:300]}")
