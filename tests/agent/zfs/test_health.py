"""How zpools are, without ZFS: what the commands print is given by the test."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.storage.zfs_health import COMMAND_TIMEOUT_S, FRESH_S, FRESH_WHEN_MUTE_S, ZpoolHealth
from agent.storage.zfs_link import ZfsLink
from horcrux.errors import Unavailable
from horcrux.storage.pool import Health

STATUS = """\
  pool: tank
 state: DEGRADED
config:

\tNAME         STATE     READ WRITE CKSUM
\ttank         DEGRADED     0     0     0
\t  mirror-0   DEGRADED     0     0     0
\t    /dev/sda1  ONLINE     0     0     0
\t    /dev/sdb1  FAULTED    0     9     0  too many errors

errors: No known data errors
"""


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class SaidLink(ZfsLink):
    """Its commands print what they are told to; `mute` ones take their whole time and fail."""

    def __init__(self, kernel: Path, clock: Clock) -> None:
        super().__init__(kstat=kernel)
        self.clock = clock
        self.asked: list[str] = []
        self.is_mute = False

    async def command(self, *argv: str, timeout_s: float | None = None) -> str:
        self.asked.append(argv[1])
        await asyncio.sleep(0)
        if self.is_mute:
            self.clock.now_s += COMMAND_TIMEOUT_S
            raise Unavailable("`zpool status` has not answered")
        return STATUS if argv[1] == "status" else "tank\t1000\t400\t60\tDEGRADED\n"


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "tank").mkdir()
    (tmp_path / "tank" / "state").write_text("DEGRADED\n")
    return tmp_path


@pytest.fixture
async def link(kernel: Path) -> AsyncIterator[SaidLink]:
    link = SaidLink(kernel, Clock())
    yield link
    await link.close()


async def test_all_pools_on_a_zpool_share_one_question(link: SaidLink) -> None:
    health = ZpoolHealth(link, link.clock)
    seen = await asyncio.gather(*(health.of("tank") for _ in range(10)))
    assert sorted(link.asked) == ["list", "status"]
    assert {(s.health, s.size_bytes, s.free_bytes) for s in seen} == {(Health.DEGRADED, 1000, 400)}
    assert "disk /dev/sdb1 of zpool tank is FAULTED (too many errors)" in seen[0].problems
    link.clock.now_s += FRESH_S
    await health.of("tank")
    assert len(link.asked) == 2
    link.clock.now_s += 1
    await health.of("tank")
    assert len(link.asked) == 4


async def test_a_zpool_that_is_lost_is_told_at_once_and_its_return_too(link: SaidLink, kernel: Path) -> None:
    health = ZpoolHealth(link, link.clock)
    await health.of("tank")
    state = kernel / "tank" / "state"
    await asyncio.to_thread(state.write_text, "SUSPENDED\n")
    seen = await health.of("tank")
    assert (seen.health, "suspended" in seen.reason, seen.problems) == (Health.FAULTED, True, (seen.reason,))
    assert len(link.asked) == 2
    await asyncio.to_thread(state.write_text, "ONLINE\n")
    assert not (await health.of("tank")).reason
    assert len(link.asked) == 4


async def test_a_zpool_that_does_not_answer_is_not_asked_again_and_again(link: SaidLink) -> None:
    health, link.is_mute = ZpoolHealth(link, link.clock), True
    seen = await health.of("tank")
    assert (seen.health, seen.reason) == (Health.FAULTED, "`zpool status` has not answered")
    link.clock.now_s += FRESH_WHEN_MUTE_S - 1
    await health.of("tank")
    assert len(link.asked) == 2
    link.is_mute = False
    link.clock.now_s += 2
    assert (await health.of("tank")).health is Health.DEGRADED


async def test_every_zpool_of_the_host_is_found(link: SaidLink) -> None:
    (found,) = await ZpoolHealth(link, link.clock).found_pools()
    assert (found.target, found.total_bytes, found.available_bytes) == ("tank", 1000, 400)
    assert found.health is Health.DEGRADED
