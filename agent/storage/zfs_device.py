"""The device of a volume: the link /dev/zvol/<dataset> comes later than the call that made the volume.

udev makes it, 20 ms to seconds after create, clone, rename or receive; and after a deletion the link of an earlier volume
of the name may still be there, on a number that another volume has by now. So the device itself is asked for its name, as
udev's own zvol_id asks it.
"""

import asyncio
import fcntl
import os
import time

from agent.storage.zfs_link import ZfsLink
from horcrux.errors import Unavailable
from horcrux.storage.zfs import device_path

LINK_TIMEOUT_S = 120.0
REMIND_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.01, 0.25

_NAME_BYTES = 256
_BLKZNAME = 2 << 30 | _NAME_BYTES << 16 | 0x12 << 8 | 125
"""_IOR(0x12, 125, char[ZFS_MAX_DATASET_NAME_LEN]) (sys/fs/zfs.h)."""


async def wait_for_device(link: ZfsLink, dataset: str, timeout_s: float = LINK_TIMEOUT_S) -> str:
    """The path of the volume's device, which is there and is that volume's. Unavailable when it does not come."""
    path, wait_s, reminders = device_path(dataset), FIRST_WAIT_S, 0
    began = time.monotonic()
    while await link.run(dataset, device_name, path) != dataset:
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise Unavailable(f"device {path} has not appeared for {timeout_s:g} s; is udev running?")
        if waited_s > (reminders + 1) * REMIND_S:
            # udev looks once, and makes no link when it could not open the volume just then
            reminders += 1
            await link.command("udevadm", "trigger", "--subsystem-match=block", "--sysname-match=zd*")
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    return path


def device_name(path: str) -> str | None:
    """Dataset of the volume that is behind `path`; None when there is none. Blocks."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # not there yet, or going: who waits asks again
    try:
        name = bytearray(_NAME_BYTES)
        fcntl.ioctl(fd, _BLKZNAME, name)
    except OSError:
        return None
    finally:
        os.close(fd)
    return name.partition(b"\0")[0].decode("utf-8", "replace")
