"""What every driver with linked clones does, by backing files or by ZFS."""

import pytest

from agent.storage.driver import StorageDriver, VolumeClones
from horcrux.errors import AlreadyExists, Conflict, InUse, NotFound
from horcrux.storage.pool import PoolDocument
from horcrux.storage.volume import Volume
from tests.support.storage_drivers import Subject, holds, write


def ignore(_fraction: float) -> None:
    pass


async def make(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str, name: str = "disk0"
) -> Volume:
    return await driver.create_volume(pool, name, 8 * subject.step_bytes, format_)


async def test_a_base_is_the_volume_under_another_name(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    made = await make(driver, pool, subject, format_)
    base = await clones.make_base(pool, "disk0", "base0")
    assert (base.name, base.format, base.capacity_bytes) == ("base0", made.format, made.capacity_bytes)
    assert [volume.name for volume in await driver.list_volumes(pool)] == ["base0"]
    assert await clones.clones_of_volume(pool, "base0") == []


async def test_making_a_base_twice_is_as_good_as_once(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await make(driver, pool, subject, format_)
    base = await clones.make_base(pool, "disk0", "base0")
    assert await clones.make_base(pool, "disk0", "base0") == base
    await clones.clone_volume(pool, "base0", "disk1")
    assert await clones.make_base(pool, "disk0", "base0") == base
    assert await clones.clones_of_volume(pool, "base0") == ["disk1"]


async def test_a_base_takes_no_name_of_another_volume_and_needs_one_to_begin_from(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    for name in ("disk0", "disk1"):
        await make(driver, pool, subject, format_, name)
    with pytest.raises(AlreadyExists, match="disk1"):
        await clones.make_base(pool, "disk0", "disk1")
    with pytest.raises(NotFound, match="nothing"):
        await clones.make_base(pool, "nothing", "base0")


async def test_a_clone_begins_as_its_base_and_takes_no_space(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    made = await make(driver, pool, subject, format_)
    await clones.make_base(pool, "disk0", "base0")
    clone = await clones.clone_volume(pool, "base0", "disk1")
    assert (clone.name, clone.base, clone.format) == ("disk1", "base0", subject.clone_format)
    assert clone.capacity_bytes == made.capacity_bytes
    assert clone.allocation_bytes < subject.step_bytes
    assert await driver.find_volume(pool, "disk1") == clone
    assert {volume.name: volume.base for volume in await driver.list_volumes(pool)} == {"base0": None, "disk1": "base0"}


async def test_clones_and_base_keep_apart(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str, content: None
) -> None:
    await write(await make(driver, pool, subject, format_), "a")
    base = await clones.make_base(pool, "disk0", "base0")
    one, two = [await clones.clone_volume(pool, "base0", name) for name in ("one", "two")]
    await write(one, "b")
    await write(two, "c", at=subject.step_bytes)
    assert [await holds(volume, letter) for volume, letter in ((base, "a"), (one, "b"), (two, "a"))] == [True] * 3
    assert [await holds(volume, "c", at=subject.step_bytes) for volume in (base, one, two)] == [False, False, True]


async def test_clones_are_listed_by_name(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await make(driver, pool, subject, format_)
    await clones.make_base(pool, "disk0", "base0")
    for name in ("b", "c", "a"):
        await clones.clone_volume(pool, "base0", name)
    assert await clones.clones_of_volume(pool, "base0") == ["a", "b", "c"]
    assert await clones.clones_of_volume(pool, "a") == []
    with pytest.raises(NotFound, match="nothing"):
        await clones.clones_of_volume(pool, "nothing")


async def test_only_a_base_is_cloned_and_never_over_another_volume(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await make(driver, pool, subject, format_)
    with pytest.raises(Conflict, match="disk0"):
        await clones.clone_volume(pool, "disk0", "disk1")
    with pytest.raises(NotFound, match="nothing"):
        await clones.clone_volume(pool, "nothing", "disk1")
    await clones.make_base(pool, "disk0", "base0")
    was = await make(driver, pool, subject, format_, "disk1")
    with pytest.raises(AlreadyExists, match="disk1"):
        await clones.clone_volume(pool, "base0", "disk1")
    assert await driver.find_volume(pool, "disk1") == was


async def test_a_base_is_deleted_only_after_its_clones(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await make(driver, pool, subject, format_)
    await clones.make_base(pool, "disk0", "base0")
    for name in ("one", "two"):
        await clones.clone_volume(pool, "base0", name)
    with pytest.raises(InUse, match="one, two"):
        await driver.delete_volume(pool, "base0")
    await driver.delete_volume(pool, "one")
    with pytest.raises(InUse, match="two"):
        await driver.delete_volume(pool, "base0")
    await driver.delete_volume(pool, "two")
    await driver.delete_volume(pool, "base0")
    assert await driver.list_volumes(pool) == []


async def test_a_base_does_not_grow(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await make(driver, pool, subject, format_)
    base = await clones.make_base(pool, "disk0", "base0")
    with pytest.raises(Conflict, match="base0"):
        await driver.resize_volume(pool, "base0", 16 * subject.step_bytes)
    assert await driver.find_volume(pool, "base0") == base


async def test_a_clone_grows_and_its_base_does_not(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await make(driver, pool, subject, format_)
    base = await clones.make_base(pool, "disk0", "base0")
    await clones.clone_volume(pool, "base0", "disk1")
    grown = await driver.resize_volume(pool, "disk1", 16 * subject.step_bytes)
    assert (grown.capacity_bytes, grown.base) == (16 * subject.step_bytes, "base0")
    assert await driver.find_volume(pool, "base0") == base


async def test_a_clone_can_be_the_base_of_more(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str, content: None
) -> None:
    await write(await make(driver, pool, subject, format_), "a")
    await clones.make_base(pool, "disk0", "base0")
    await write(await clones.clone_volume(pool, "base0", "disk1"), "b", at=subject.step_bytes)
    second = await clones.make_base(pool, "disk1", "base1")
    assert second.base == "base0"
    clone = await clones.clone_volume(pool, "base1", "disk2")
    assert clone.base == "base1"
    assert await holds(clone, "a")
    assert await holds(clone, "b", at=subject.step_bytes)
    with pytest.raises(InUse, match="base1"):
        await driver.delete_volume(pool, "base0")


async def test_a_full_copy_of_a_clone_stands_on_nothing(
    driver: StorageDriver, clones: VolumeClones, pool: PoolDocument, subject: Subject, format_: str, content: None
) -> None:
    await write(await make(driver, pool, subject, format_), "a")
    await clones.make_base(pool, "disk0", "base0")
    clone = await clones.clone_volume(pool, "base0", "disk1")
    await write(clone, "b", at=subject.step_bytes)
    copy = await driver.fill_volume(pool, "copy", clone.path, clone.format, format_, ignore)
    assert (copy.base, copy.capacity_bytes) == (None, clone.capacity_bytes)
    for name in ("disk1", "base0"):
        await driver.delete_volume(pool, name)
    assert await holds(copy, "a")
    assert await holds(copy, "b", at=subject.step_bytes)
