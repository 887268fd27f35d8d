"""What every storage driver does. The fake runs always, libvirt where the host has it."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.storage.driver import StorageDriver
from agent.storage.fake import FakeStorageDriver
from horcrux.errors import AlreadyExists, Conflict, NotFound, Unavailable
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.volume import VOLUME_FORMATS
from horcrux.units import MIB

DRIVERS = ["fake", pytest.param("libvirt", marks=pytest.mark.libvirt)]


@pytest.fixture(params=DRIVERS)
async def driver(request: pytest.FixtureRequest) -> AsyncIterator[StorageDriver]:
    if request.param == "fake":
        yield FakeStorageDriver()
        return
    from agent.storage.libvirt_pool import LibvirtPoolDriver

    real = LibvirtPoolDriver("qemu:///system", NodeId("n" + secrets.token_hex(4)))
    yield real
    await real.close()


@pytest.fixture
async def pool(driver: StorageDriver, tmp_path: Path) -> AsyncIterator[PoolDocument]:
    document = PoolDocument(
        id=PoolId("fast.ssd_1"),
        name="Fast",
        storage_type=PoolType.DIR,
        node=NodeId("n00000000"),
        target=str(tmp_path / "pool"),
        created_at=1.0,
    )
    await driver.open(document)
    yield document
    await driver.remove(document)


def ignore(_fraction: float) -> None:
    pass


async def test_opening_a_pool_twice_is_as_good_as_once(driver: StorageDriver, pool: PoolDocument) -> None:
    await driver.create_volume(pool, "disk0", MIB, "qcow2")
    await driver.open(pool)
    assert [v.name for v in await driver.list_volumes(pool)] == ["disk0"]


async def test_an_open_pool_tells_its_sizes(driver: StorageDriver, pool: PoolDocument) -> None:
    seen = await driver.look(pool)
    assert seen.is_active
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
    driver: StorageDriver, pool: PoolDocument
) -> None:
    await driver.create_volume(pool, "disk0", MIB, "raw")
    await driver.remove(pool)
    await driver.open(pool)
    assert (await driver.find_volume(pool, "disk0")).capacity_bytes == MIB


@pytest.mark.parametrize("format_", VOLUME_FORMATS)
async def test_a_created_volume_is_listed_with_its_size_and_format(
    driver: StorageDriver, pool: PoolDocument, format_: str
) -> None:
    made = await driver.create_volume(pool, "vm-100-disk0", 3 * MIB, format_)
    assert (made.name, made.format, made.capacity_bytes, made.pool) == ("vm-100-disk0", format_, 3 * MIB, pool.id)
    assert made.path.startswith(pool.target + "/")
    assert await driver.list_volumes(pool) == [made]
    assert await driver.find_volume(pool, "vm-100-disk0") == made


async def test_an_empty_volume_is_thin(driver: StorageDriver, pool: PoolDocument) -> None:
    made = await driver.create_volume(pool, "big", 64 * 1024 * MIB, "qcow2")
    assert made.allocation_bytes < MIB


async def test_volumes_are_listed_by_name(driver: StorageDriver, pool: PoolDocument) -> None:
    for name in ("b", "c", "a"):
        await driver.create_volume(pool, name, MIB, "raw")
    assert [v.name for v in await driver.list_volumes(pool)] == ["a", "b", "c"]


@pytest.mark.parametrize("format_", VOLUME_FORMATS)
async def test_a_name_is_taken_whatever_its_format(driver: StorageDriver, pool: PoolDocument, format_: str) -> None:
    await driver.create_volume(pool, "disk0", MIB, "qcow2")
    with pytest.raises(AlreadyExists, match="disk0"):
        await driver.create_volume(pool, "disk0", MIB, format_)


async def test_names_that_look_like_files_are_names(driver: StorageDriver, pool: PoolDocument) -> None:
    await driver.create_volume(pool, "a.raw", MIB, "qcow2")
    await driver.create_volume(pool, "a", MIB, "raw")
    assert [(v.name, v.format) for v in await driver.list_volumes(pool)] == [("a", "raw"), ("a.raw", "qcow2")]


async def test_a_missing_volume_is_not_found(driver: StorageDriver, pool: PoolDocument) -> None:
    with pytest.raises(NotFound, match="nothing"):
        await driver.find_volume(pool, "nothing")
    with pytest.raises(NotFound, match="nothing"):
        await driver.resize_volume(pool, "nothing", MIB)


async def test_deleting_twice_is_as_good_as_once(driver: StorageDriver, pool: PoolDocument) -> None:
    await driver.create_volume(pool, "disk0", MIB, "qcow2")
    await driver.delete_volume(pool, "disk0")
    await driver.delete_volume(pool, "disk0")
    assert await driver.list_volumes(pool) == []


@pytest.mark.parametrize("format_", VOLUME_FORMATS)
async def test_a_volume_grows_and_never_shrinks(driver: StorageDriver, pool: PoolDocument, format_: str) -> None:
    await driver.create_volume(pool, "disk0", 2 * MIB, format_)
    assert (await driver.resize_volume(pool, "disk0", 2 * MIB)).capacity_bytes == 2 * MIB
    assert (await driver.resize_volume(pool, "disk0", 5 * MIB)).capacity_bytes == 5 * MIB
    with pytest.raises(Conflict, match="shrink"):
        await driver.resize_volume(pool, "disk0", 4 * MIB)
    assert (await driver.find_volume(pool, "disk0")).capacity_bytes == 5 * MIB


@pytest.mark.parametrize("format_", VOLUME_FORMATS)
async def test_a_filled_volume_has_the_size_of_its_source(
    driver: StorageDriver, pool: PoolDocument, tmp_path: Path, format_: str
) -> None:
    source = tmp_path / "source"
    await asyncio.to_thread(source.write_bytes, b"x" * MIB + bytes(MIB))
    told: list[float] = []
    made = await driver.fill_volume(pool, "disk0", str(source), "raw", format_, told.append)
    assert (made.format, made.capacity_bytes) == (format_, 2 * MIB)
    assert await driver.list_volumes(pool) == [made]
    assert told
    assert all(0 <= fraction <= 1 for fraction in told)


async def test_filling_from_qcow2_takes_its_virtual_size(
    driver: StorageDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    source = str(tmp_path / "source")
    await asyncio.to_thread(
        subprocess.run, ["qemu-img", "create", "-q", "-f", "qcow2", source, str(7 * MIB)], check=True
    )
    made = await driver.fill_volume(pool, "disk0", source, "qcow2", "raw", ignore)
    assert made.capacity_bytes == 7 * MIB
    assert made.allocation_bytes < MIB


async def test_filling_never_overwrites(driver: StorageDriver, pool: PoolDocument, tmp_path: Path) -> None:
    source = tmp_path / "source"
    await asyncio.to_thread(source.write_bytes, b"x" * MIB)
    was = await driver.create_volume(pool, "disk0", 9 * MIB, "raw")
    with pytest.raises(AlreadyExists, match="disk0"):
        await driver.fill_volume(pool, "disk0", str(source), "raw", "qcow2", ignore)
    assert await driver.list_volumes(pool) == [was]


async def test_filling_from_nothing_is_not_found(driver: StorageDriver, pool: PoolDocument, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        await driver.fill_volume(pool, "disk0", str(tmp_path / "missing"), "raw", "qcow2", ignore)
    assert await driver.list_volumes(pool) == []


async def test_pools_keep_apart(driver: StorageDriver, pool: PoolDocument, tmp_path: Path) -> None:
    other = msgspec.structs.replace(pool, id=PoolId("other"), target=str(tmp_path / "other"))
    await driver.open(other)
    try:
        await driver.create_volume(pool, "disk0", MIB, "raw")
        assert await driver.list_volumes(other) == []
    finally:
        await driver.remove(other)
