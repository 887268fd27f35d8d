"""How the zpools of this host are: asked once for all pools that stand on one, and not more often than every few seconds.

The words of `zpool status` are read by `horcrux.storage.zfs_status`. A zpool that is not imported, or is suspended, is told
from the kernel's memory alone, because `zpool` itself may hang then.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

import msgspec

from agent.storage.zfs_link import ZfsLink
from horcrux.errors import HorcruxError, HostLacks, Unavailable
from horcrux.storage.pool import FoundPool, Health, PoolType
from horcrux.storage.zfs_status import ZpoolSpace, ZpoolStatus, health_of, parse_space, parse_status, problems_of

FRESH_S = 5.0
FRESH_WHEN_MUTE_S = 60.0
"""A command that hangs in the kernel cannot be ended: one more is not begun for so long."""
COMMAND_TIMEOUT_S = 10.0


class ZpoolSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes are raw: redundancy counts. `reason` says why it cannot be used, if it cannot."""

    name: str
    health: Health
    problems: tuple[str, ...] = ()
    reason: str = ""
    size_bytes: int = 0
    free_bytes: int = 0


class ZpoolHealth:
    def __init__(self, link: ZfsLink, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._monotonic = monotonic
        self._seen: dict[str, tuple[float, ZpoolSeen]] = {}
        """With the time until which it is believed."""
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, zpool: str) -> ZpoolSeen:
        """Never raises for a zpool that does not answer, but says so. At most FRESH_S old, but for one that was lost: that
        is told at once."""
        try:
            await self._link.check(zpool)
        except Unavailable as err:
            self._seen.pop(zpool, None)
            return ZpoolSeen(name=zpool, health=Health.FAULTED, problems=(str(err),), reason=str(err))
        async with self._asking[zpool]:
            known = self._seen.get(zpool)
            if known is None or self._monotonic() > known[0]:
                seen, fresh_s = await self._ask(zpool)
                known = self._seen[zpool] = (self._monotonic() + fresh_s, seen)
            return known[1]

    async def found_pools(self) -> list[FoundPool]:
        """Every zpool of the host, by name; none where there is no ZFS."""
        try:
            seen = await asyncio.gather(*(self.of(name) for name in await self._link.zpools()))
        except HostLacks:
            return []
        return [
            FoundPool(
                storage_type=PoolType.ZFS,
                target=zpool.name,
                total_bytes=zpool.size_bytes,
                available_bytes=zpool.free_bytes,
                health=zpool.health,
                problems=zpool.problems,
            )
            for zpool in seen
        ]

    async def _ask(self, name: str) -> tuple[ZpoolSeen, float]:
        """How it is, and for how long that is to be believed."""
        began = self._monotonic()
        try:
            said, listed = await asyncio.gather(
                self._link.command("zpool", "status", "-pP", name, timeout_s=COMMAND_TIMEOUT_S),
                self._link.command(
                    "zpool", "list", "-Hp", "-o", "name,size,free,capacity,health", name, timeout_s=COMMAND_TIMEOUT_S
                ),
            )
        except HorcruxError as err:
            seen = ZpoolSeen(name=name, health=Health.FAULTED, problems=(str(err),), reason=str(err))
            return seen, FRESH_WHEN_MUTE_S if self._monotonic() - began >= COMMAND_TIMEOUT_S else 0.0
        return judge(name, parse_status(said), parse_space(listed)), FRESH_S


def judge(name: str, statuses: tuple[ZpoolStatus, ...], spaces: tuple[ZpoolSpace, ...]) -> ZpoolSeen:
    """The zpool called `name` as the two answers have it."""
    status = next((s for s in statuses if s.name == name), None)
    space = next((s for s in spaces if s.name == name), None)
    if status is None or space is None:
        words = f"`zpool status` did not tell of zpool {name}"
        return ZpoolSeen(name=name, health=Health.FAULTED, problems=(words,), reason=words)
    health, problems = health_of(status, space.capacity_percent), problems_of(status, space.capacity_percent)
    return ZpoolSeen(
        name=name,
        health=health,
        problems=problems,
        reason=problems[0] if health is Health.FAULTED and problems else "",
        size_bytes=space.size_bytes,
        free_bytes=space.free_bytes,
    )
