"""ZFS when things go wrong, on real zpools: run in a guest of the lab (`tests/lab/test_zfs_inside.py`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.storage.zfs import ZfsDriver
from horcrux.errors import NoSpace, Unavailable
from horcrux.storage.pool import Health, PoolDocument
from horcrux.storage.volume import VolumeOptions
from horcrux.units import MIB
from tests.support.storage_drivers import holds, write
from tests.support.zfs import sh, zfs_driver, zfs_pool, zpool

pytestmark = pytest.mark.lab


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ZfsDriver]:
    async with zfs_driver(tmp_path) as driver:
        yield driver


def ignore(_fraction: float) -> None:
    pass


async def test_a_full_pool_says_so_and_loses_nothing(driver: ZfsDriver, tmp_path: Path) -> None:
    async with zpool(tmp_path, disk_mib=256) as name:
        pool = zfs_pool(f"{name}/vms")
        await driver.open(pool)
        kept = await driver.create_volume(pool, "kept", 8 * MIB, "raw")
        await write(kept, "k")
        with pytest.raises(NoSpace):
            await driver.create_volume(pool, "reserved", 1024 * MIB, "raw", VolumeOptions(is_sparse=False))
        source = tmp_path / "source"
        await sh(f"head -c 300M /dev/urandom > {source}")
        with pytest.raises(NoSpace):
            await driver.fill_volume(pool, "big", str(source), "raw", "raw", ignore)
        assert [v.name for v in await driver.list_volumes(pool)] == ["kept"]
        full = await driver.look(pool)
        assert full.is_active
        assert any("left" in problem for problem in full.problems)
        await driver.delete_volume(pool, "big")
        assert await holds(kept, "k")
        made = await driver.create_volume(pool, "after", 8 * MIB, "raw")
        await write(made, "a")


async def test_a_quota_that_is_used_up_is_no_space(driver: ZfsDriver, tmp_path: Path) -> None:
    async with zpool(tmp_path) as name:
        pool = zfs_pool(f"{name}/vms")
        await driver.open(pool)
        await sh(f"zfs set quota=64M {pool.target}")
        with pytest.raises(NoSpace):
            await driver.create_volume(pool, "big", 128 * MIB, "raw", VolumeOptions(is_sparse=False))
        made = await driver.create_volume(pool, "half", 40 * MIB, "raw", VolumeOptions(is_sparse=False))
        await sh(f"head -c 39M /dev/urandom | dd of={made.path} bs=1M oflag=direct status=none; zpool sync {name}")
        with pytest.raises(NoSpace):  # a reserved volume has to be able to take its whole size anew
            await driver.snapshots(pool).snapshot_volumes(pool, ["half"], "one")
        assert await driver.snapshots(pool).list_snapshots(pool, "half") == []


async def test_a_zpool_that_was_exported_is_unavailable_until_it_is_back(driver: ZfsDriver, tmp_path: Path) -> None:
    async with zpool(tmp_path) as name:
        pool = zfs_pool(f"{name}/vms")
        await driver.open(pool)
        volume = await driver.create_volume(pool, "disk0", MIB, "raw")
        await write(volume, "a")
        await sh(f"zpool export {name}")
        seen = await driver.look(pool)
        assert (seen.is_active, seen.health) == (False, Health.FAULTED)
        assert f"zpool {name} is not imported" in seen.reason
        for refused in (
            driver.list_volumes(pool),
            driver.find_volume(pool, "disk0"),
            driver.create_volume(pool, "disk1", MIB, "raw"),
            driver.delete_volume(pool, "disk0"),
            driver.snapshots(pool).snapshot_volumes(pool, ["disk0"], "one"),
            driver.open(pool),
        ):
            with pytest.raises(Unavailable, match="not imported"):
                await refused
        assert name not in {found.target for found in await driver.found_pools()}
        await sh(f"zpool import -d {tmp_path} {name}")
        await driver.open(pool)
        assert (await driver.look(pool)).is_active
        assert await holds(await driver.find_volume(pool, "disk0"), "a")


async def test_a_mirror_that_lost_a_disk_works_and_names_it(driver: ZfsDriver, tmp_path: Path) -> None:
    async with zpool(tmp_path, disks=2, disk_mib=256, layout="mirror") as name:
        pool = zfs_pool(f"{name}/vms")
        await sh(f"zpool offline {name} {tmp_path}/disk1")
        await driver.open(pool)
        seen = await driver.look(pool)
        assert (seen.is_active, seen.health) == (True, Health.DEGRADED)
        assert seen.problems == (f"disk {tmp_path}/disk1 of zpool {name} is OFFLINE",)
        found = {found.target: found for found in await driver.found_pools()}
        assert (found[name].health, found[name].problems) == (Health.DEGRADED, seen.problems)
        assert await holds(await driver.create_volume(pool, "disk0", MIB, "raw"), "\0")


@asynccontextmanager
async def breakable_disk(folder: Path) -> AsyncIterator[str]:
    """A block device that `dmsetup` can break, on a file."""
    name = folder.name.replace("_", "")[-20:]
    await sh(f"truncate -s 256M {folder}/breakable")
    loop = (await sh(f"losetup -f --show {folder}/breakable")).strip()
    await sh(f"dmsetup create {name} --table '0 524288 linear {loop} 0' && udevadm settle")
    try:
        yield name
    finally:
        await sh(f"dmsetup remove --retry {name}; losetup -d {loop}")


async def write_until_it_fails(driver: ZfsDriver, pool: PoolDocument) -> None:
    """ZFS finds out that a disk is gone when it writes."""
    while True:
        await driver.snapshots(pool).snapshot_volumes(pool, ["disk0"], "one")
        await driver.snapshots(pool).delete_snapshot(pool, "disk0", "one")


async def test_a_zpool_without_its_disk_is_told_and_holds_up_no_other(tmp_path: Path) -> None:
    """Its calls hang inside the kernel until the disk is back; those on another zpool go on."""
    await asyncio.to_thread((tmp_path / "well").mkdir)
    async with breakable_disk(tmp_path) as disk, zpool(tmp_path / "well") as well:
        await sh(f"zpool create -O mountpoint=none -O sync=always ill{disk} /dev/mapper/{disk}")
        async with zfs_driver(tmp_path, timeout_s=5.0) as driver:
            ill, good = zfs_pool(f"ill{disk}/vms", "ill"), zfs_pool(f"{well}/vms", "good")
            await driver.open(ill)
            await driver.open(good)
            await driver.create_volume(ill, "disk0", MIB, "raw")
            await sh(f"dmsetup reload {disk} --table '0 524288 error' && dmsetup resume {disk}")
            with pytest.raises(Unavailable):
                await write_until_it_fails(driver, ill)
            seen = await driver.look(ill)
            assert (seen.is_active, seen.health) == (False, Health.FAULTED)
            assert f"zpool ill{disk}" in seen.reason
            with pytest.raises(Unavailable):
                await driver.list_volumes(ill)
            assert (await driver.look(good)).is_active
            made = await driver.create_volume(good, "disk0", MIB, "raw")
            assert await driver.list_volumes(good) == [made]
            found = {found.target: found.health for found in await driver.found_pools()}
            assert (found[well], found[f"ill{disk}"]) == (Health.GOOD, Health.FAULTED)
            table = (await sh(f"losetup -j {tmp_path}/breakable -n -O NAME")).strip()
            await sh(f"dmsetup reload {disk} --table '0 524288 linear {table} 0' && dmsetup resume {disk}")
            await sh(f"zpool clear ill{disk}")
            async with asyncio.timeout(120):
                while not (await driver.look(ill)).is_active:
                    await asyncio.sleep(0.1)
            assert [v.name for v in await driver.list_volumes(ill)] == ["disk0"]
        await sh(f"zpool destroy -f ill{disk}")
