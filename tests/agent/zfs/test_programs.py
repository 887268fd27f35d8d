"""What the channel programs decide inside the kernel, run in a real Lua on datasets in memory."""

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.blocking import BlockingPool
from agent.storage.qemu_img import QemuImg
from agent.storage.zfs_clones import ZfsClones
from agent.storage.zfs_health import ZpoolHealth
from agent.storage.zfs_pool import ZfsPools
from agent.storage.zfs_snapshots import ZfsSnapshots
from agent.storage.zfs_volumes import ZfsVolumes
from horcrux.errors import Conflict, InUse, Unreachable
from horcrux.storage.pool import PoolDocument
from horcrux.storage.zfs import FILLING, NODE_MARK, POOL_MARK, READY, STATE_MARK
from tests.support.clock import FakeClock
from tests.support.waiting import eventually
from tests.support.zfs import NODE, zfs_pool
from tests.support.zfs_kernel import Dataset, Kernel, KernelLink

POOL = zfs_pool("tank/vms")
DISK = "tank/vms/disk0"
OURS = {NODE_MARK: NODE, POOL_MARK: POOL.id}


class OpenPools(ZfsPools):
    """Every pool is open."""

    def target(self, pool: PoolDocument) -> str:
        return pool.target


class Bench:
    def __init__(self, link: KernelLink, files: BlockingPool) -> None:
        self.link = link
        self.kernel = link.kernel
        self.pools = OpenPools(link, ZpoolHealth(link), NODE, Path("/nowhere"), lambda _path: None)
        self.volumes = ZfsVolumes(link, self.pools, NODE, QemuImg(files))

    def make(self, name: str = DISK, state: str = READY, *, origin: str | None = None) -> Dataset:
        return self.kernel.make(name, {**OURS, STATE_MARK: state}, origin=origin)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    files = BlockingPool("files")
    link = KernelLink(Kernel())
    bench = Bench(link, files)
    bench.make("tank/vms")
    yield bench
    await link.close()
    files.close()


async def test_what_a_cut_off_filling_left_is_cleared_away(bench: Bench) -> None:
    bench.make(state=FILLING)
    bench.make("tank/vms/whole")
    await bench.volumes.clear_leftovers(POOL)
    assert [v.name for v in await bench.volumes.all(POOL)] == ["whole"]
    assert DISK not in bench.kernel.datasets


async def test_what_a_power_cut_left_without_marks_is_cleared_away_when_it_was_noted(bench: Bench) -> None:
    above = bench.kernel.datasets["tank/vms"]
    async with bench.volumes.births.noted("tank/vms", DISK):
        bench.kernel.make(DISK)
        noted = dict(above.marks)
    assert noted.keys() - above.marks.keys()
    bench.kernel.make("tank/vms/theirs")
    await bench.volumes.clear_leftovers(POOL)
    assert {DISK, "tank/vms/theirs"} <= bench.kernel.datasets.keys()
    above.marks.update(noted)
    await bench.volumes.clear_leftovers(POOL)
    assert DISK not in bench.kernel.datasets
    assert "tank/vms/theirs" in bench.kernel.datasets
    assert above.marks == OURS | {STATE_MARK: READY}


async def test_nothing_is_noted_of_a_name_that_somebody_else_has(bench: Bench) -> None:
    bench.kernel.make(DISK)
    before = dict(bench.kernel.datasets["tank/vms"].marks)
    async with bench.volumes.births.noted("tank/vms", DISK):
        assert bench.kernel.datasets["tank/vms"].marks == before


@pytest.mark.parametrize("state", [READY, FILLING])
async def test_a_volume_made_anew_meanwhile_is_no_leftover(bench: Bench, state: str) -> None:
    bench.make(state=FILLING)
    for clear in (bench.volumes.clear_leftovers(POOL), bench.volumes.clear_leftover(POOL, DISK)):
        bench.link.before = lambda: bench.make(state=state)
        await clear
        assert DISK in bench.kernel.datasets
        bench.make(state=FILLING)


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EIO])
async def test_a_volume_whose_snapshot_cannot_be_destroyed_keeps_them_all(bench: Bench, code: int) -> None:
    bench.make()
    bench.make(f"{DISK}@first")
    bench.make(f"{DISK}@second").refuses = code
    with pytest.raises(InUse if code == errno.EBUSY else Unreachable, match="second"):
        await bench.volumes.delete(POOL, "disk0")
    assert set(bench.kernel.datasets) == {"tank/vms", DISK, f"{DISK}@first", f"{DISK}@second"}


@pytest.mark.parametrize("code", [errno.EIO, errno.EDOM])
async def test_an_answer_that_nobody_knows_is_a_refusal(bench: Bench, code: int) -> None:
    bench.make().refuses = code
    bench.make(f"{DISK}@first")
    with pytest.raises(Unreachable, match=str(code)):
        await bench.volumes.delete(POOL, "disk0")
    assert f"{DISK}@first" in bench.kernel.datasets


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_zpool_does_not_keep_a_volume_from_being_destroyed(bench: Bench, code: int) -> None:
    bench.make().refuses_rollback = code
    bench.make(f"{DISK}@first")
    await bench.volumes.delete(POOL, "disk0")
    assert set(bench.kernel.datasets) == {"tank/vms"}


async def test_a_replica_with_a_cut_off_increment_can_be_deleted(bench: Bench) -> None:
    bench.make()
    bench.make(f"{DISK}@sent")
    bench.make(f"{DISK}/%recv", origin=f"{DISK}@sent")
    assert await ZfsClones(bench.link, bench.pools, bench.volumes).clones_of_volume(POOL, "disk0") == []
    await bench.volumes.delete(POOL, "disk0")
    assert set(bench.kernel.datasets) == {"tank/vms"}
    assert ("zfs", "receive", "-A", DISK) in bench.link.commands


async def test_clones_keep_a_replica_and_its_cut_off_increment(bench: Bench) -> None:
    bench.make()
    bench.make(f"{DISK}@sent")
    bench.make(f"{DISK}/%recv", origin=f"{DISK}@sent")
    bench.make("tank/vms/clone", origin=f"{DISK}@sent")
    with pytest.raises(InUse, match="clone") as caught:
        await bench.volumes.delete(POOL, "disk0")
    assert "%recv" not in str(caught.value)
    assert bench.link.commands == []


async def test_a_dataset_is_of_one_pool(bench: Bench) -> None:
    pools = ZfsPools(bench.link, ZpoolHealth(bench.link), NODE, Path("/nowhere"), lambda _path: None)
    bench.kernel.make("tank/vms", OURS).kind = "filesystem"
    other = zfs_pool("tank/vms", "slow")
    with pytest.raises(Conflict, match="pool fast"):
        await pools.open(other)
    await pools.remove(other)
    assert bench.kernel.datasets["tank/vms"].marks == OURS
    await pools.remove(POOL)
    assert bench.kernel.datasets["tank/vms"].marks == {}


async def test_a_revert_that_is_refused_has_destroyed_nothing(bench: Bench) -> None:
    bench.make()
    clock = FakeClock()
    snapshots = ZfsSnapshots(bench.link, bench.volumes, clock.sleep)
    bench.make(f"{DISK}@before")
    bench.make(f"{DISK}@hx-repl-r1-1")
    bench.kernel.datasets[DISK].is_open = True
    refused = asyncio.create_task(snapshots.revert_volume(POOL, "disk0", "before"))
    while not refused.done():
        clock.advance(1)
        await asyncio.sleep(0)
    with pytest.raises(InUse, match="open"):
        await refused
    bench.kernel.datasets[DISK].is_open = False
    bench.kernel.bookmark(DISK, "mine")
    with pytest.raises(Conflict, match="mine"):
        await snapshots.revert_volume(POOL, "disk0", "before")
    assert f"{DISK}@hx-repl-r1-1" in bench.kernel.datasets
    assert list(bench.kernel.bookmarks[DISK]) == ["mine"]


async def test_a_revert_waits_for_who_opens_a_volume_for_a_moment(bench: Bench) -> None:
    bench.make()
    clock = FakeClock()
    snapshots = ZfsSnapshots(bench.link, bench.volumes, clock.sleep)
    bench.make(f"{DISK}@before")
    bench.make(f"{DISK}@hx-repl-r1-1")
    bench.kernel.datasets[DISK].is_open = True
    reverting = asyncio.create_task(snapshots.revert_volume(POOL, "disk0", "before"))
    try:
        await eventually(lambda: clock.sleepers == 1)
        assert f"{DISK}@hx-repl-r1-1" in bench.kernel.datasets
        bench.kernel.datasets[DISK].is_open = False
        clock.advance(1)
        await eventually(lambda: f"{DISK}@hx-repl-r1-1" not in bench.kernel.datasets)
    finally:
        reverting.cancel()
