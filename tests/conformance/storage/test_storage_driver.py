"""What every storage driver does, on every subject of `tests.support.storage_drivers`."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from agent.storage.driver import StorageDriver
from horcrux.errors import AlreadyExists, Conflict, NotFound, Unavailable
from horcrux.storage.pool import PoolDocument
from horcrux.units import MIB
from tests.support.storage_drivers import Opened, Subject, holds, write


def ignore(_fraction: float) -> None:
    pass


async def test_opening_a_pool_twice_is_as_good_as_once(
    driver: StorageDriver, pool: PoolDocument, subject: Subject
) -> None:
    await driver.create_volume(pool, "disk0", subject.step_bytes, subject.formats[0])
    await driver.open(pool)
    assert [v.name for v in await driver.list_volumes(pool)] == ["disk0"]


async def test_an_open_pool_tells_its_sizes(driver: StorageDriver, pool: PoolDocument) -> None:
    seen = await driver.look(pool)
    assert seen.is_active
    assert seen.available_bytes is not None
    assert 0 < seen.available_bytes <= seen.total_bytes


async def test_a_removed_pool_is_looked_at_without_an_error_and_used_with_one(
    driver: StorageDriver, pool: PoolDocument
) -> None:
    await driver.remove(pool)
    await driver.remove(pool)
    seen = await driver.look(pool)
    assert not seen.is_active
    assert seen.reason
    with pytest.raises(Unavailable):
        await driver.list_volumes(pool)


async def test_what_a_removed_pool_held_is_there_when_it_is_opened_again(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    made = await driver.create_volume(pool, "disk0", subject.step_bytes, format_)
    await driver.remove(pool)
    await driver.open(pool)
    assert await driver.find_volume(pool, "disk0") == made


async def test_a_created_volume_is_listed_with_its_size_and_format(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    made = await driver.create_volume(pool, "vm-100-disk0", 3 * subject.step_bytes, format_)
    assert (made.name, made.format, made.pool) == ("vm-100-disk0", format_, pool.id)
    assert (made.capacity_bytes, made.base) == (3 * subject.step_bytes, None)
    assert await driver.list_volumes(pool) == [made]
    assert await driver.find_volume(pool, "vm-100-disk0") == made


async def test_the_formats_of_a_pool_are_those_that_volumes_are_made_in(
    driver: StorageDriver, pool: PoolDocument, subject: Subject
) -> None:
    assert driver.formats(pool) == subject.formats


async def test_a_volume_can_be_written_where_it_says_it_is(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str, content: None
) -> None:
    made = await driver.create_volume(pool, "disk0", 4 * subject.step_bytes, format_)
    await write(made, "a", at=2 * subject.step_bytes)
    assert await holds(made, "a", at=2 * subject.step_bytes)
    assert not await holds(made, "a")


async def test_an_empty_volume_is_thin(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    made = await driver.create_volume(pool, "big", 16 * subject.step_bytes, format_)
    assert (made.allocation_bytes < subject.step_bytes) == subject.is_thin


async def test_volumes_are_listed_by_name(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    for name in ("b", "c", "a"):
        await driver.create_volume(pool, name, subject.step_bytes, format_)
    assert [v.name for v in await driver.list_volumes(pool)] == ["a", "b", "c"]


async def test_a_name_is_taken_whatever_its_format(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await driver.create_volume(pool, "disk0", subject.step_bytes, subject.formats[0])
    with pytest.raises(AlreadyExists, match="disk0") as refused:
        await driver.create_volume(pool, "disk0", subject.step_bytes, format_)
    assert refused.value.details == {"kind": "volume", "pool": pool.id, "id": "disk0"}


async def test_names_that_look_like_files_are_names(
    driver: StorageDriver, pool: PoolDocument, subject: Subject
) -> None:
    first, last = subject.formats[0], subject.formats[-1]
    await driver.create_volume(pool, "a.raw", subject.step_bytes, first)
    await driver.create_volume(pool, "a", subject.step_bytes, last)
    assert [(v.name, v.format) for v in await driver.list_volumes(pool)] == [("a", last), ("a.raw", first)]


async def test_every_name_that_a_volume_may_have_is_kept_as_it_is(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    name = "Vm-1.a_b+c--" + "x" * 40
    made = await driver.create_volume(pool, name, subject.step_bytes, format_)
    assert made.name == name
    assert [v.name for v in await driver.list_volumes(pool)] == [name]
    await driver.delete_volume(pool, name)
    assert await driver.list_volumes(pool) == []


async def test_a_missing_volume_is_not_found(driver: StorageDriver, pool: PoolDocument, subject: Subject) -> None:
    with pytest.raises(NotFound, match="nothing") as missing:
        await driver.find_volume(pool, "nothing")
    assert missing.value.details == {"kind": "volume", "pool": pool.id, "id": "nothing"}
    with pytest.raises(NotFound, match="nothing"):
        await driver.resize_volume(pool, "nothing", subject.step_bytes)


async def test_deleting_twice_is_as_good_as_once(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    await driver.create_volume(pool, "disk0", subject.step_bytes, format_)
    await driver.delete_volume(pool, "disk0")
    await driver.delete_volume(pool, "disk0")
    assert await driver.list_volumes(pool) == []


async def test_a_volume_grows_and_never_shrinks(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str
) -> None:
    step = subject.step_bytes
    await driver.create_volume(pool, "disk0", 2 * step, format_)
    assert (await driver.resize_volume(pool, "disk0", 2 * step)).capacity_bytes == 2 * step
    assert (await driver.resize_volume(pool, "disk0", 5 * step)).capacity_bytes == 5 * step
    with pytest.raises(Conflict, match="shrink") as refused:
        await driver.resize_volume(pool, "disk0", 4 * step)
    assert refused.value.details["capacity_bytes"] == 5 * step
    assert (await driver.find_volume(pool, "disk0")).capacity_bytes == 5 * step


async def test_a_filled_volume_has_the_size_of_its_source(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, tmp_path: Path, format_: str
) -> None:
    source, step = tmp_path / "source", subject.step_bytes
    await asyncio.to_thread(source.write_bytes, b"x" * step + bytes(step))
    told: list[float] = []
    made = await driver.fill_volume(pool, "disk0", str(source), "raw", format_, told.append)
    assert (made.format, made.capacity_bytes) == (format_, 2 * step)
    assert await driver.list_volumes(pool) == [made]
    assert told
    assert all(0 <= fraction <= 1 for fraction in told)


async def test_filling_from_qcow2_takes_its_virtual_size(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, tmp_path: Path, format_: str
) -> None:
    source, size_bytes = str(tmp_path / "source"), 7 * subject.step_bytes
    await asyncio.to_thread(
        subprocess.run, ["qemu-img", "create", "-q", "-f", "qcow2", source, str(size_bytes)], check=True
    )
    made = await driver.fill_volume(pool, "disk0", source, "qcow2", format_, ignore)
    assert made.capacity_bytes == size_bytes
    assert (made.allocation_bytes < subject.step_bytes) == subject.is_thin


async def test_what_fills_a_volume_arrives_whole(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, tmp_path: Path, format_: str, content: None
) -> None:
    source, step = tmp_path / "source", subject.step_bytes
    await asyncio.to_thread(source.write_bytes, b"x" * step + bytes(step) + b"y" * step)
    made = await driver.fill_volume(pool, "disk0", str(source), "raw", format_, ignore)
    seen = [await holds(made, letter, at=at * step) for at, letter in enumerate("x\0y")]
    assert seen == [True, True, True]


async def test_a_volume_can_be_filled_from_a_volume_of_another_pool(
    opened: Opened, driver: StorageDriver, pool: PoolDocument, subject: Subject, format_: str, content: None
) -> None:
    other = opened.describe("other")
    await driver.open(other)
    try:
        source = await driver.create_volume(other, "disk0", 2 * subject.step_bytes, format_)
        await write(source, "a", at=subject.step_bytes)
        made = await driver.fill_volume(pool, "disk0", source.path, source.format, subject.formats[-1], ignore)
        assert await holds(made, "a", at=subject.step_bytes)
    finally:
        await driver.remove(other)


async def test_filling_never_overwrites(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, tmp_path: Path, format_: str
) -> None:
    source = tmp_path / "source"
    await asyncio.to_thread(source.write_bytes, b"x" * MIB)
    was = await driver.create_volume(pool, "disk0", 9 * subject.step_bytes, subject.formats[-1])
    with pytest.raises(AlreadyExists, match="disk0"):
        await driver.fill_volume(pool, "disk0", str(source), "raw", format_, ignore)
    assert await driver.list_volumes(pool) == [was]


async def test_filling_from_nothing_is_not_found(
    driver: StorageDriver, pool: PoolDocument, subject: Subject, tmp_path: Path
) -> None:
    with pytest.raises(NotFound):
        await driver.fill_volume(pool, "disk0", str(tmp_path / "missing"), "raw", subject.formats[0], ignore)
    assert await driver.list_volumes(pool) == []


async def test_pools_keep_apart(opened: Opened, driver: StorageDriver, pool: PoolDocument, subject: Subject) -> None:
    other = opened.describe("other")
    await driver.open(other)
    try:
        await driver.create_volume(pool, "disk0", subject.step_bytes, subject.formats[0])
        assert await driver.list_volumes(other) == []
    finally:
        await driver.remove(other)
