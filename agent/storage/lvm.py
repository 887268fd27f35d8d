"""LVM by its own commands, one at a time on a thread of their own, and what they report.

libvirt's `logical` pools are not used: stopping one deactivates every volume of the group, also those of others, and it makes
nothing in a thin pool that is there already.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Sequence

import msgspec

from agent.blocking import BlockingPool
from horcrux.errors import AlreadyExists, HorcruxError, HostLacks, InUse, NoSpace, Unavailable, Unreachable

_LV_FIELDS = "lv_name,lv_size,lv_path,pool_lv,origin,lv_tags,data_percent,metadata_percent,lv_attr,lv_health_status"
_VG_FIELDS = "vg_name,vg_size,vg_free,vg_extent_size,vg_attr,vg_missing_pv_count"


class LogicalVolume(msgspec.Struct, frozen=True):
    """A line of `lvs`; what LVM has nothing to say of is the empty string."""

    lv_name: str
    lv_size: int
    lv_path: str
    pool_lv: str
    origin: str
    lv_tags: str
    data_percent: str
    metadata_percent: str
    lv_attr: str
    lv_health_status: str

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(self.lv_tags.split(","))

    @property
    def is_active(self) -> bool:
        return self.lv_attr[4:5] == "a"

    @property
    def zeroes(self) -> bool:
        """Of a thin pool: what it hands out reads as zeros (lvs(8), the eighth of `lv_attr`)."""
        return self.lv_attr[7:8] == "z"

    @property
    def used_bytes(self) -> int:
        """Of a thin volume: what is mapped, also what it shares. Of a thick one: all."""
        return round(self.lv_size * float(self.data_percent) / 100) if self.data_percent else self.lv_size


class VolumeGroup(msgspec.Struct, frozen=True):
    """A line of `vgs`."""

    vg_name: str
    vg_size: int
    vg_free: int
    vg_extent_size: int
    vg_attr: str
    vg_missing_pv_count: int


class Lvm:
    def __init__(self) -> None:
        self._threads = BlockingPool("lvm", 1)

    async def close(self) -> None:
        """Its thread is gone; a command under way ends first."""
        await asyncio.to_thread(self._threads.close)

    async def volumes(self, group: str) -> list[LogicalVolume]:
        """Of one group, whoever's they are. Unavailable when the group is not there."""
        rows = await self._report("lvs", "lv", _LV_FIELDS, group)
        return msgspec.convert(rows, list[LogicalVolume], strict=False)

    async def groups(self, *names: str) -> list[VolumeGroup]:
        """All of the host, or those named. Unavailable for one that is not there."""
        return msgspec.convert(await self._report("vgs", "vg", _VG_FIELDS, *names), list[VolumeGroup], strict=False)

    async def run(self, *argv: str) -> str:
        """What the command printed; its refusal as one of our errors."""
        return await self._threads.run(_run, argv)

    async def _report(self, command: str, kind: str, fields: str, *names: str) -> list[dict[str, object]]:
        shape = ["--reportformat", "json", "--units", "b", "--nosuffix", "--unbuffered", "-o", fields]
        said = await self.run(command, *shape, *names)
        try:
            report = msgspec.json.decode(said, type=_Report)
        except msgspec.DecodeError as err:
            raise Unreachable(f"{command} printed what cannot be read: {err}") from err
        return [row for part in report.report for row in part.get(kind, [])]


class _Report(msgspec.Struct):
    report: list[dict[str, list[dict[str, object]]]]


def _run(argv: Sequence[str]) -> str:
    path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    environment = {"PATH": path, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
    try:
        done = subprocess.run(
            argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment
        )
    except FileNotFoundError:
        raise HostLacks(
            f"this host has no {argv[0]}; install it (apt-get install lvm2 thin-provisioning-tools)"
        ) from None
    if done.returncode != 0:
        raise _failure(argv[0], done.stderr)
    return done.stdout


_REFUSALS: tuple[tuple[str, type[HorcruxError]], ...] = (
    (r"already exists in volume group|[Nn]ew logical volume name .* is already", AlreadyExists),
    (r"[Ii]nsufficient (suitable )?(free|allocatable)|not enough free|free space in thin pool|No space left", NoSpace),
    (r"in use|is used by another device|is open", InUse),
    (r"not found|Failed to find|Cannot process volume group", Unavailable),
    (r"thin_check|thin-provisioning|not available in this|modprobe|Permission denied|device-mapper.*driver", HostLacks),
)


def _failure(command: str, err: str) -> HorcruxError:
    lines = [line.strip() for line in err.splitlines() if line.strip() and not line.strip().startswith("WARNING")]
    words = "; ".join(lines)[:500] or "it did not say why"
    kind = next((kind for pattern, kind in _REFUSALS if re.search(pattern, words)), Unreachable)
    return kind(f"LVM refused {command}: {words}")
