"""What every driver with snapshots does, whether they lie in a file or in ZFS."""

import pytest

from agent.storage.driver import StorageDriver, VolumeSnapshots
from horcrux.errors import AlreadyExists, Conflict, NotFound
from horcrux.storage.pool import PoolDocument
from horcrux.storage.volume import Volume
from tests.support.storage_drivers import Subject, holds, write


async def make(driver: StorageDriver, pool: PoolDocument, subject: Subject, name: str = "disk0") -> Volume:
    assert subject.snapshot_format is not None
    return await driver.create_volume(pool, name, 8 * subject.step_bytes, subject.snapshot_format)


async def names(snapshots: VolumeSnapshots, pool: PoolDocument, volume: str = "disk0") -> list[str]:
    return [snapshot.name for snapshot in await snapshots.list_snapshots(pool, volume)]


async def test_it_is_known_whether_a_guest_may_write_meanwhile(
    snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    assert snapshots.are_live(pool) == subject.are_snapshots_live


async def test_snapshots_are_listed_oldest_first(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    assert await snapshots.list_snapshots(pool, "disk0") == []
    for name in ("c", "a", "b"):
        await snapshots.snapshot_volumes(pool, ["disk0"], name)
    assert await names(snapshots, pool) == ["c", "a", "b"]
    times = [snapshot.created_at for snapshot in await snapshots.list_snapshots(pool, "disk0")]
    assert times == sorted(times)
    assert times[0] > 0


async def test_a_snapshot_is_of_every_volume_that_is_named(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    for name in ("disk0", "disk1", "disk2"):
        await make(driver, pool, subject, name)
    await snapshots.snapshot_volumes(pool, ["disk0", "disk2"], "one")
    assert [await names(snapshots, pool, volume) for volume in ("disk0", "disk1", "disk2")] == [["one"], [], ["one"]]


async def test_a_name_is_taken_once_a_volume_and_then_no_volume_gets_it(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    for name in ("disk0", "disk1"):
        await make(driver, pool, subject, name)
    await snapshots.snapshot_volumes(pool, ["disk1"], "one")
    with pytest.raises(AlreadyExists, match="disk1"):
        await snapshots.snapshot_volumes(pool, ["disk0", "disk1"], "one")
    assert [await names(snapshots, pool, volume) for volume in ("disk0", "disk1")] == [[], ["one"]]


async def test_a_volume_that_is_missing_leaves_the_others_without(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    with pytest.raises(NotFound, match="nothing"):
        await snapshots.snapshot_volumes(pool, ["disk0", "nothing"], "one")
    assert await names(snapshots, pool) == []
    with pytest.raises(NotFound, match="nothing"):
        await snapshots.list_snapshots(pool, "nothing")


async def test_snapshots_do_not_show_as_volumes(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    await snapshots.snapshot_volumes(pool, ["disk0"], "one")
    assert [volume.name for volume in await driver.list_volumes(pool)] == ["disk0"]


async def test_a_revert_brings_the_content_back_and_keeps_the_snapshot(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject, content: None
) -> None:
    volume = await make(driver, pool, subject)
    await write(volume, "a")
    await snapshots.snapshot_volumes(pool, ["disk0"], "one")
    for letter in ("b", "c"):
        await write(volume, letter)
        await write(volume, letter, at=subject.step_bytes)
        await snapshots.revert_volume(pool, "disk0", "one")
        assert await holds(volume, "a")
        assert await holds(volume, "\0", at=subject.step_bytes)
    assert await names(snapshots, pool) == ["one"]
    await snapshots.revert_volume(pool, "disk0", "one")
    assert await holds(volume, "a")


async def test_a_revert_brings_the_size_back(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    made = await make(driver, pool, subject)
    await snapshots.snapshot_volumes(pool, ["disk0"], "one")
    await driver.resize_volume(pool, "disk0", 16 * subject.step_bytes)
    await snapshots.revert_volume(pool, "disk0", "one")
    assert (await driver.find_volume(pool, "disk0")).capacity_bytes == made.capacity_bytes


async def test_a_revert_past_a_newer_snapshot_is_done_or_refused_with_its_name(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    for name in ("one", "two"):
        await snapshots.snapshot_volumes(pool, ["disk0"], name)
    if subject.can_revert_past_newer:
        await snapshots.revert_volume(pool, "disk0", "one")
    else:
        with pytest.raises(Conflict, match="two"):
            await snapshots.revert_volume(pool, "disk0", "one")
    assert await names(snapshots, pool) == ["one", "two"]
    await snapshots.revert_volume(pool, "disk0", "two")


async def test_a_revert_to_what_is_not_there_is_not_found(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    with pytest.raises(NotFound, match="one"):
        await snapshots.revert_volume(pool, "disk0", "one")


@pytest.mark.parametrize("order", [["one", "two", "three"], ["two", "three", "one"], ["three", "one", "two"]])
async def test_snapshots_are_deleted_in_any_order_and_change_nothing(
    driver: StorageDriver,
    snapshots: VolumeSnapshots,
    pool: PoolDocument,
    subject: Subject,
    content: None,
    order: list[str],
) -> None:
    volume, left = await make(driver, pool, subject), ["one", "two", "three"]
    for letter, name in zip("abc", left, strict=True):
        await write(volume, letter)
        await snapshots.snapshot_volumes(pool, ["disk0"], name)
    await write(volume, "d")
    for name in order:
        await snapshots.delete_snapshot(pool, "disk0", name)
        left.remove(name)
        assert await names(snapshots, pool) == left
        assert await holds(volume, "d")
        if left == ["one"]:
            await snapshots.revert_volume(pool, "disk0", "one")
            assert await holds(volume, "a")
            await write(volume, "d")


async def test_deleting_a_snapshot_twice_is_as_good_as_once(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    await snapshots.snapshot_volumes(pool, ["disk0"], "one")
    await snapshots.delete_snapshot(pool, "disk0", "one")
    await snapshots.delete_snapshot(pool, "disk0", "one")
    await snapshots.delete_snapshot(pool, "gone", "one")
    assert await names(snapshots, pool) == []


async def test_names_that_look_like_numbers_are_names(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject, content: None
) -> None:
    volume = await make(driver, pool, subject)
    await write(volume, "a")
    await snapshots.snapshot_volumes(pool, ["disk0"], "2")
    await write(volume, "b")
    await snapshots.snapshot_volumes(pool, ["disk0"], "1")
    await write(volume, "c")
    await snapshots.revert_volume(pool, "disk0", "1")
    assert await holds(volume, "b")
    await snapshots.delete_snapshot(pool, "disk0", "1")
    assert await names(snapshots, pool) == ["2"]
    await snapshots.revert_volume(pool, "disk0", "2")
    assert await holds(volume, "a")


async def test_a_volume_goes_with_its_snapshots(
    driver: StorageDriver, snapshots: VolumeSnapshots, pool: PoolDocument, subject: Subject
) -> None:
    await make(driver, pool, subject)
    await snapshots.snapshot_volumes(pool, ["disk0"], "one")
    await driver.delete_volume(pool, "disk0")
    await make(driver, pool, subject)
    assert await names(snapshots, pool) == []
