"""What only ZFS does, on real zpools: run in a guest of the lab (`tests/lab/test_zfs_inside.py`)."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar
from unittest.mock import AsyncMock

import pytest

from agent.storage import zfs_library
from agent.storage.zfs import ZfsDriver
from agent.storage.zfs_births import ZfsBirths
from agent.storage.zfs_link import ZfsLink
from horcrux.errors import Conflict, Interrupted, InUse, Invalid, NotFound, Unavailable
from horcrux.ids import NodeId
from horcrux.storage.pool import PoolDocument
from horcrux.storage.volume import VolumeOptions
from horcrux.storage.zfs import NODE_MARK, STATE_MARK
from horcrux.units import MIB
from tests.support.storage_drivers import holds, write
from tests.support.zfs import NODE, sh, zfs_driver, zfs_pool, zpool

pytestmark = pytest.mark.lab

P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture
async def tank(tmp_path: Path) -> AsyncIterator[str]:
    async with zpool(tmp_path) as name:
        yield name


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[ZfsDriver]:
    async with zfs_driver(tmp_path) as driver:
        yield driver


@pytest.fixture
async def pool(tank: str, driver: ZfsDriver) -> AsyncIterator[PoolDocument]:
    document = zfs_pool(f"{tank}/vms")
    await driver.open(document)
    yield document
    await driver.remove(document)


async def value(dataset: str, name: str) -> str:
    return (await sh(f"zfs get -Hp -o value {name} {dataset}")).strip()


def ignore(_fraction: float) -> None:
    pass


async def test_a_volume_is_kept_as_its_options_say(driver: ZfsDriver, pool: PoolDocument) -> None:
    options = VolumeOptions(is_sparse=False, block_size_bytes=16384, compression="zstd-7")
    await driver.create_volume(pool, "reserved", 16 * MIB, "raw", options)
    await driver.create_volume(pool, "sparse", 16 * MIB, "raw", VolumeOptions(compression="gzip-3"))
    reserved, sparse = f"{pool.target}/reserved", f"{pool.target}/sparse"
    assert await value(reserved, "volblocksize,compression") == "16384\nzstd-7"
    assert int(await value(reserved, "refreservation")) > 16 * MIB
    assert await value(sparse, "refreservation,compression") == "0\ngzip-3"
    await driver.resize_volume(pool, "reserved", 32 * MIB)
    assert int(await value(reserved, "refreservation")) > 32 * MIB


async def test_sizes_are_padded_to_whole_mib(driver: ZfsDriver, pool: PoolDocument) -> None:
    made = await driver.create_volume(pool, "odd", 3 * MIB + 1, "raw")
    assert made.capacity_bytes == 4 * MIB
    assert (await driver.resize_volume(pool, "odd", 4 * MIB + 512)).capacity_bytes == 5 * MIB


async def test_what_others_put_there_takes_the_name_and_is_never_touched(driver: ZfsDriver, pool: PoolDocument) -> None:
    foreign = f"{pool.target}/disk0"
    await sh(f"zfs create -s -V 8M {foreign}")
    assert await value(foreign, NODE_MARK) == NODE  # inherited, so it says nothing
    assert await driver.list_volumes(pool) == []
    with pytest.raises(Conflict, match="disk0"):
        await driver.create_volume(pool, "disk0", MIB, "raw")
    with pytest.raises(NotFound, match="disk0"):
        await driver.resize_volume(pool, "disk0", 16 * MIB)
    await driver.delete_volume(pool, "disk0")
    assert await value(foreign, "volsize") == str(8 * MIB)


async def test_a_dataset_is_the_pool_of_one_node_until_it_is_removed(
    driver: ZfsDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    other = NodeId("n99999999")
    document = zfs_pool(pool.target, "theirs", node=other)
    async with zfs_driver(tmp_path / "other", node=other) as second:
        with pytest.raises(Conflict, match="another node"):
            await second.open(document)
        await driver.remove(pool)
        await sh(f"zfs destroy -r {pool.target}/images")
        await second.open(document)
        await second.remove(document)
        await sh(f"zfs destroy -r {pool.target}/images")
    await driver.open(pool)


async def test_the_device_is_that_of_the_volume_of_the_name_at_once(driver: ZfsDriver, pool: PoolDocument) -> None:
    for letter in "abc":
        made = await driver.create_volume(pool, "again", 4 * MIB, "raw")
        await driver.create_volume(pool, f"between-{letter}", 4 * MIB, "raw")
        assert await holds(made, "\0")
        await write(made, letter)
        await driver.delete_volume(pool, "again")


async def test_images_and_backups_lie_in_file_systems_of_their_own(driver: ZfsDriver, pool: PoolDocument) -> None:
    images = driver.image_folder(pool)
    assert images is not None
    backups = await driver.backup_folder(pool)
    assert await asyncio.to_thread(os.path.ismount, images)
    assert await asyncio.to_thread(os.path.ismount, backups)
    assert (await asyncio.to_thread(backups.stat)).st_mode & 0o777 == 0o700
    await sh(f"zfs unmount {pool.target}/images")
    await driver.open(pool)
    assert await asyncio.to_thread(os.path.ismount, images)
    assert await driver.list_volumes(pool) == []


async def test_a_filling_that_was_cut_off_is_no_volume_and_does_not_stand_in_the_way(
    driver: ZfsDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    await sh(f"head -c 200M /dev/urandom > {source}")
    begun = asyncio.Event()
    filling = asyncio.create_task(
        driver.fill_volume(pool, "disk0", str(source), "raw", "raw", lambda _fraction: begun.set())
    )
    await asyncio.wait_for(begun.wait(), 120)
    filling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await filling
    assert await value(f"{pool.target}/disk0", STATE_MARK) == "filling"
    assert await driver.list_volumes(pool) == []
    with pytest.raises(NotFound):
        await driver.find_volume(pool, "disk0")
    made = await driver.create_volume(pool, "disk0", MIB, "raw")
    assert made.capacity_bytes == MIB
    await driver.delete_volume(pool, "disk0")
    assert "disk0" not in await sh(f"zfs list -Hr -o name {pool.target}")


@pytest.mark.parametrize("way", ["create", "clone"])
async def test_a_volume_whose_marks_a_power_cut_took_is_gone_when_the_pool_opens(
    driver: ZfsDriver, pool: PoolDocument, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """ZFS sets properties after it has made the dataset, in a later transaction."""
    await driver.create_volume(pool, "golden", MIB, "raw")
    await driver.clones(pool).make_base(pool, "golden", "base")
    dataset, word = f"{pool.target}/disk0", "create_volume" if way == "create" else "clone"
    bare = {
        "create": f"zfs create -s -V 1M {dataset}",
        "clone": f"zfs clone {pool.target}/base@__base__ {dataset}",
    }[way]

    def cut(*_arguments: object) -> None:
        subprocess.run(bare, shell=True, check=True)
        raise KeyError("power")  # nothing after it is done: what the note says is not taken back

    monkeypatch.setattr(zfs_library, word, cut)
    monkeypatch.setattr(ZfsBirths, "_forget", AsyncMock())
    with pytest.raises(KeyError, match="power"):
        await (
            driver.create_volume(pool, "disk0", MIB, "raw")
            if way == "create"
            else driver.clones(pool).clone_volume(pool, "base", "disk0")
        )
    monkeypatch.undo()
    await sh(f"zfs create -s -V 1M {pool.target}/theirs")
    await driver.open(pool)
    left = (await sh(f"zfs list -Hr -t volume -o name {pool.target}")).split()
    assert left == [f"{pool.target}/base", f"{pool.target}/theirs"]
    assert "horcrux:making" not in await sh(f"zfs get -H all {pool.target}")
    made = await driver.clones(pool).clone_volume(pool, "base", "disk0")
    assert [v.name for v in await driver.list_volumes(pool)] == ["base", made.name]
    assert "horcrux:making" not in await sh(f"zfs get -H all {pool.target}")
    await driver.open(pool)
    assert [v.name for v in await driver.list_volumes(pool)] == ["base", made.name]


async def test_holes_stay_holes(driver: ZfsDriver, pool: PoolDocument, tmp_path: Path) -> None:
    source = tmp_path / "source"
    await sh(
        f"truncate -s 60M {source}; head -c 1M /dev/urandom | dd of={source} bs=1M seek=30 conv=notrunc status=none"
    )
    made = await driver.fill_volume(pool, "disk0", str(source), "raw", "raw", ignore)
    assert made.capacity_bytes == 60 * MIB
    assert MIB <= made.allocation_bytes < 8 * MIB
    await sh(f"cmp {source} {made.path}")


async def test_a_destruction_is_refused_with_what_depends_on_the_volume(driver: ZfsDriver, pool: PoolDocument) -> None:
    await driver.create_volume(pool, "disk0", MIB, "raw")
    await driver.snapshots(pool).snapshot_volumes(pool, ["disk0"], "one")
    snapshot = f"{pool.target}/disk0@one"
    await driver.streams.hold(snapshot, "hx-repl")
    await driver.streams.hold(snapshot, "hx-repl")
    for refused in (driver.delete_volume(pool, "disk0"), driver.snapshots(pool).delete_snapshot(pool, "disk0", "one")):
        with pytest.raises(InUse, match="hx-repl"):
            await refused
    await driver.streams.release(snapshot, "hx-repl")
    await sh(f"zfs clone {snapshot} {pool.target}/theirs")
    for refused in (driver.delete_volume(pool, "disk0"), driver.snapshots(pool).delete_snapshot(pool, "disk0", "one")):
        with pytest.raises(InUse, match="theirs"):
            await refused
    assert [s.name for s in await driver.snapshots(pool).list_snapshots(pool, "disk0")] == ["one"]
    await sh(f"zfs destroy {pool.target}/theirs")
    await driver.delete_volume(pool, "disk0")


async def test_a_volume_that_is_open_keeps_its_snapshots_when_it_cannot_be_destroyed(
    driver: ZfsDriver, pool: PoolDocument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.storage.zfs_volumes.BUSY_TRIES", 3)
    made = await driver.create_volume(pool, "disk0", MIB, "raw")
    await driver.snapshots(pool).snapshot_volumes(pool, ["disk0"], "one")
    await driver.streams.bookmark(f"{pool.target}/disk0#one", f"{pool.target}/disk0@one")
    await driver.snapshots(pool).snapshot_volumes(pool, ["disk0"], "two")
    await driver.streams.bookmark(f"{pool.target}/disk0#two", f"{pool.target}/disk0@two")
    await driver.snapshots(pool).delete_snapshot(pool, "disk0", "two")
    opened = await asyncio.to_thread(open, made.path, "rb")
    try:
        with pytest.raises(InUse, match="open"):
            await driver.delete_volume(pool, "disk0")
    finally:
        await asyncio.to_thread(opened.close)
    assert [s.name for s in await driver.snapshots(pool).list_snapshots(pool, "disk0")] == ["one"]
    await driver.delete_volume(pool, "disk0")
    assert await driver.list_volumes(pool) == []


class CountingLink(ZfsLink):
    """Tells how often ZFS is called."""

    def __init__(self) -> None:
        super().__init__(timeout_s=300)
        self.calls: list[str] = []

    async def run(self, dataset: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls.append(fn.__name__)
        return await super().run(dataset, fn, *args, **kwargs)

    async def command(self, *argv: str, timeout_s: float | None = None) -> str:
        self.calls.append(argv[0])
        return await super().command(*argv, timeout_s=timeout_s)


async def test_a_thousand_volumes_are_listed_by_one_call(tank: str, tmp_path: Path) -> None:
    link = CountingLink()
    driver = ZfsDriver(NODE, mounts=tmp_path / "mounts", let_qemu_in=lambda _path: None, link=link)
    pool = zfs_pool(f"{tank}/vms")
    await driver.open(pool)
    no_device: dict[str, int | str] = {"volsize": MIB, NODE_MARK: NODE, "volmode": 3}
    for n in range(1000):
        await asyncio.to_thread(zfs_library.create_volume, f"{pool.target}/vm-{n:04}", no_device)
    link.calls.clear()
    loop = asyncio.get_running_loop()
    before = loop.time()
    found = await driver.list_volumes(pool)
    ours_s = loop.time() - before
    assert link.calls == ["run_program"]
    assert [volume.name for volume in found] == [f"vm-{n:04}" for n in range(1000)]
    assert {(v.capacity_bytes, v.base) for v in found} == {(MIB, None)}
    before = loop.time()
    await sh(f"zfs list -Hp -r -t volume -o name,volsize,used,origin,refreservation {pool.target}")
    print(f"1,000 volumes: {ours_s:.3f} s, `zfs list` {loop.time() - before:.3f} s")
    await driver.close()


async def test_a_key_that_is_missing_is_told_and_found_again(tank: str, driver: ZfsDriver, tmp_path: Path) -> None:
    key = tmp_path / "key"
    await asyncio.to_thread(key.write_text, "0f" * 32 + "\n")
    pool = zfs_pool(f"{tank}/secret", options={"encryption": "on", "key_file": str(key)})
    await driver.open(pool)
    volume = await driver.create_volume(pool, "disk0", MIB, "raw")
    await write(volume, "a")
    assert await value(f"{pool.target}/disk0", "encryption,keyformat") == "aes-256-gcm\nhex"
    await sh(f"zfs unmount {pool.target}/images; zfs unload-key {pool.target}; mv {key} {key}.away")
    seen = await driver.look(pool)
    assert (seen.is_active, "key" in seen.reason) == (False, True)
    with pytest.raises(Unavailable, match=f"{key}"):
        await driver.open(pool)
    with pytest.raises(Unavailable, match="key"):
        await driver.find_volume(pool, "disk0")
    with pytest.raises(Unavailable, match="key"):
        await driver.create_volume(pool, "disk1", MIB, "raw")
    await asyncio.to_thread(key.write_text, "ff" * 32)
    with pytest.raises(Unavailable, match="right one"):
        await driver.open(pool)
    await asyncio.to_thread(key.write_text, "short")
    with pytest.raises(Invalid) as caught:
        await driver.open(pool)
    assert "short" not in str(caught.value)
    await sh(f"mv {key}.away {key}")
    await driver.open(pool)
    assert (await driver.look(pool)).is_active
    assert await holds(await driver.find_volume(pool, "disk0"), "a")


async def test_a_plain_dataset_is_not_taken_for_an_encrypted_one(tank: str, driver: ZfsDriver, tmp_path: Path) -> None:
    await sh(f"zfs create {tank}/plain")
    options = {"encryption": "on", "key_file": str(tmp_path / "key")}
    with pytest.raises(Conflict, match="not encrypted"):
        await driver.open(zfs_pool(f"{tank}/plain", options=options))


async def test_a_stream_arrives_and_one_that_is_cut_is_resumed(driver: ZfsDriver, pool: PoolDocument) -> None:
    source, target, streams = f"{pool.target}/disk0", f"{pool.target}/copy", driver.streams
    volume = await driver.create_volume(pool, "disk0", 24 * MIB, "raw")
    await sh(f"head -c 16M /dev/urandom | dd of={volume.path} bs=1M oflag=direct status=none")
    await streams.snapshot([f"{source}@one"])
    assert await streams.send_bytes(f"{source}@one") > 14 * MIB
    with pytest.raises(Interrupted):
        await carry(driver, f"{target}@one", lambda fd: streams.send(f"{source}@one", fd), limit_bytes=8 * MIB)
    token = await streams.resume_token(target)
    assert token is not None
    assert [v.name for v in await driver.list_volumes(pool)] == ["disk0"]
    await carry(driver, f"{target}@one", lambda fd: streams.send_resumed(token, fd))
    assert await streams.resume_token(target) is None
    await streams.bookmark(f"{source}#one", f"{source}@one")
    await write(volume, "z")
    await streams.snapshot([f"{source}@two"])
    await streams.destroy_snapshots([f"{source}@one"])
    await carry(driver, f"{target}@two", lambda fd: streams.send(f"{source}@two", fd, since=f"{source}#one"))
    assert [v.name for v in await driver.list_volumes(pool)] == ["disk0"]
    await streams.mark(target, {NODE_MARK: NODE})
    copy = await driver.find_volume(pool, "copy")
    await sh(f"cmp {volume.path} {copy.path}")
    ours, theirs = await streams.points(source), await streams.points(target)
    assert [p.guid for p in ours[0]] == [theirs[0][-1].guid]
    assert [p.name for p in ours[1]] == ["one"]
    assert theirs[0][0].guid == ours[1][0].guid


async def test_a_receive_that_was_given_up_leaves_nothing(driver: ZfsDriver, pool: PoolDocument) -> None:
    source, target, streams = f"{pool.target}/disk0", f"{pool.target}/copy", driver.streams
    volume = await driver.create_volume(pool, "disk0", 24 * MIB, "raw")
    await sh(f"head -c 12M /dev/urandom | dd of={volume.path} bs=1M oflag=direct status=none")
    await streams.snapshot([f"{source}@one"])
    with pytest.raises(Interrupted):
        await carry(driver, f"{target}@one", lambda fd: streams.send(f"{source}@one", fd), limit_bytes=6 * MIB)
    await streams.abort_receive(target)
    await streams.abort_receive(target)
    assert "copy" not in await sh(f"zfs list -Hr -o name {pool.target}")


async def carry(driver: ZfsDriver, to: str, send: Callable[[int], Awaitable[None]], limit_bytes: int = 2**40) -> None:
    """A stream goes through two pipes, and is cut after `limit_bytes`."""
    (sent, sending), (receiving, received) = os.pipe(), os.pipe()

    async def give() -> None:
        try:
            await send(sending)
        except Interrupted:
            assert limit_bytes < 2**40
        finally:
            os.close(sending)

    def pump() -> None:
        left = limit_bytes
        try:
            while left > 0 and (piece := os.read(sent, min(65536, left))):
                os.write(received, piece)
                left -= len(piece)
        finally:
            os.close(sent)
            os.close(received)

    async def take() -> None:
        try:
            await driver.streams.receive(to, receiving)
        finally:
            os.close(receiving)

    results = await asyncio.gather(give(), asyncio.to_thread(pump), take(), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
