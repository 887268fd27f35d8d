"""What every stream driver does: the fake always, ZFS in guests of the lab (`tests/lab/test_replication.py`)."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agent.replication.driver import SendOrder, VolumeAt
from horcrux.errors import AlreadyExists, Diverged, HorcruxError, Interrupted, InUse, NotFound
from horcrux.replication.points import Since
from horcrux.units import MIB
from tests.support.stream_drivers import SIZE_BYTES, StreamBench, fake_bench, zfs_bench

Open = Callable[[Path], AbstractAsyncContextManager[StreamBench]]
HAS_ZFS = os.environ.get("HORCRUX_INSIDE_LAB") == "1"
OPENERS: list[object] = [pytest.param(fake_bench, id="fake")]
if HAS_ZFS:
    OPENERS.append(pytest.param(zfs_bench, id="zfs"))
BLOCKS = 1024
"""4 MiB."""


@pytest.fixture(params=OPENERS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StreamBench]:
    open_: Open = request.param
    async with open_(tmp_path) as bench:
        yield bench


@pytest.fixture
async def here(bench: StreamBench) -> VolumeAt:
    """A volume with 4 MiB in it."""
    await bench.storage.create_volume(bench.here, "disk", SIZE_BYTES, "raw")
    volume = VolumeAt(bench.here, "disk")
    await bench.write(volume, 0, BLOCKS)
    return volume


@pytest.fixture
def there(bench: StreamBench) -> VolumeAt:
    return VolumeAt(bench.there, "disk")


class Cut(HorcruxError):
    """The network went."""

    code = "cut"


async def passed(bench: StreamBench, order: SendOrder, there: VolumeAt, cut_after: int | None = None) -> int:
    """Bytes that went from one to the other; Cut comes out of the stream after `cut_after` of them."""
    count = 0
    async with bench.streams.send(order) as content:

        async def counted() -> AsyncIterator[bytes]:
            nonlocal count
            async for piece in content:
                for at in range(0, len(piece), 65536):
                    part = piece[at : at + 65536]
                    if cut_after is not None and count + len(part) > cut_after:
                        raise Cut("cut")
                    count += len(part)
                    yield part

        await bench.streams.receive(there, order.snapshot, counted())
    return count


async def whole(bench: StreamBench, here: VolumeAt, there: VolumeAt, name: str = "one") -> int:
    await bench.streams.snapshot([here], name)
    return await passed(bench, SendOrder(volume=here, snapshot=name), there)


async def test_a_whole_stream_makes_the_same_volume(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    sent = await whole(bench, here, there)
    assert sent >= 4 * MIB
    estimate = await bench.streams.estimate(SendOrder(volume=here, snapshot="one"))
    assert estimate is not None
    assert sent / 2 < estimate < sent * 2
    assert await bench.digest(there) == await bench.digest(here)
    ours, theirs = await bench.streams.points(here), await bench.streams.points(there)
    assert [(p.name, p.guid) for p in ours.snapshots] == [(p.name, p.guid) for p in theirs.snapshots]
    assert await bench.streams.written_bytes(there) == 0
    assert await bench.streams.resume_token(there) is None


async def test_a_marked_replica_is_a_volume_of_its_pool(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await whole(bench, here, there)
    for _ in range(2):
        await bench.streams.mark(there, {"horcrux:replica-of": "n1/web"})
    found = await bench.storage.find_volume(bench.there, "disk")
    assert found.capacity_bytes == SIZE_BYTES
    await bench.storage.delete_volume(bench.there, "disk")
    with pytest.raises(NotFound):
        await bench.streams.points(there)


async def test_only_what_changed_since_a_snapshot_is_sent(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await whole(bench, here, there)
    await bench.write(here, 10)
    await bench.streams.snapshot([here], "two")
    sent = await passed(bench, SendOrder(volume=here, snapshot="two", since=Since(name="one")), there)
    assert sent < MIB
    assert await bench.digest(there) == await bench.digest(here)
    assert [p.name for p in (await bench.streams.points(there)).snapshots] == ["one", "two"]


async def test_a_bookmark_stands_in_for_a_snapshot_that_is_gone(
    bench: StreamBench, here: VolumeAt, there: VolumeAt
) -> None:
    await whole(bench, here, there)
    for _ in range(2):
        await bench.streams.bookmark(here, "one")
    for _ in range(2):
        await bench.streams.destroy(here, snapshots=["one"])
    points = await bench.streams.points(here)
    assert [p.name for p in points.snapshots] == []
    assert [p.guid for p in points.bookmarks] == [p.guid for p in (await bench.streams.points(there)).snapshots]
    await bench.write(here, 10)
    await bench.streams.snapshot([here], "two")
    since = Since(name="one", is_bookmark=True)
    sent = await passed(bench, SendOrder(volume=here, snapshot="two", since=since), there)
    assert sent < MIB
    assert await bench.digest(there) == await bench.digest(here)
    for _ in range(2):
        await bench.streams.destroy(here, bookmarks=["one"])
    assert (await bench.streams.points(here)).bookmarks == ()


async def test_a_cut_stream_goes_on_where_it_stopped(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await bench.streams.snapshot([here], "one")
    with pytest.raises(Cut):
        await passed(bench, SendOrder(volume=here, snapshot="one"), there, cut_after=3 * MIB)
    token = await bench.streams.resume_token(there)
    assert token
    assert (await bench.streams.points(there)).snapshots == ()
    sent = await passed(bench, SendOrder(volume=here, snapshot="one", token=token), there)
    assert sent < 3 * MIB, "what had come is not sent again"
    assert await bench.digest(there) == await bench.digest(here)
    assert await bench.streams.resume_token(there) is None


async def test_a_cut_increment_goes_on_too(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await whole(bench, here, there)
    await bench.write(here, 2000, BLOCKS)
    await bench.streams.snapshot([here], "two")
    order = SendOrder(volume=here, snapshot="two", since=Since(name="one"))
    with pytest.raises(Cut):
        await passed(bench, order, there, cut_after=3 * MIB)
    token = await bench.streams.resume_token(there)
    assert await passed(bench, SendOrder(volume=here, snapshot="two", token=token), there) < 3 * MIB
    assert await bench.digest(there) == await bench.digest(here)


async def test_a_stream_that_just_ends_is_not_whole(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await bench.streams.snapshot([here], "one")
    async with bench.streams.send(SendOrder(volume=here, snapshot="one")) as content:

        async def half() -> AsyncIterator[bytes]:
            count = 0
            async for piece in content:
                count += len(piece)
                if count > 2 * MIB:
                    return
                yield piece

        with pytest.raises(Interrupted):
            await bench.streams.receive(there, "one", half())
    assert await bench.streams.resume_token(there)


async def test_the_rest_of_a_snapshot_that_is_gone_is_not_found_and_can_be_thrown_away(
    bench: StreamBench, here: VolumeAt, there: VolumeAt
) -> None:
    await bench.streams.snapshot([here], "one")
    with pytest.raises(Cut):
        await passed(bench, SendOrder(volume=here, snapshot="one"), there, cut_after=2 * MIB)
    token = await bench.streams.resume_token(there)
    await bench.streams.destroy(here, snapshots=["one"])
    with pytest.raises(NotFound):
        await passed(bench, SendOrder(volume=here, snapshot="one", token=token), VolumeAt(bench.there, "other"))
    for _ in range(2):
        await bench.streams.abandon(there)
    with pytest.raises(NotFound):
        await bench.streams.points(there)
    await whole(bench, here, there)
    assert await bench.digest(there) == await bench.digest(here)


async def test_what_was_written_there_is_never_overwritten(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await whole(bench, here, there)
    await bench.make_writable(there)
    await bench.write(there, 100)
    theirs = await bench.digest(there)
    assert await bench.streams.written_bytes(there) > 0
    await bench.streams.snapshot([here], "two")
    with pytest.raises(Diverged):
        await passed(bench, SendOrder(volume=here, snapshot="two", since=Since(name="one")), there)
    assert await bench.digest(there) == theirs
    await bench.streams.rollback(there, "one")
    await passed(bench, SendOrder(volume=here, snapshot="two", since=Since(name="one")), there)
    assert await bench.digest(there) == await bench.digest(here)


async def test_a_replica_that_stands_elsewhere_takes_nothing(
    bench: StreamBench, here: VolumeAt, there: VolumeAt
) -> None:
    await whole(bench, here, there)
    for name in ("two", "three"):
        await bench.write(here, 10)
        await bench.streams.snapshot([here], name)
    with pytest.raises(Diverged):
        await passed(bench, SendOrder(volume=here, snapshot="three", since=Since(name="two")), there)


async def test_going_back_destroys_what_is_newer(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await whole(bench, here, there)
    was = await bench.digest(there)
    await bench.write(here, 10)
    await bench.streams.snapshot([here], "two")
    await passed(bench, SendOrder(volume=here, snapshot="two", since=Since(name="one")), there)
    for _ in range(2):
        await bench.streams.rollback(there, "one")
    assert [p.name for p in (await bench.streams.points(there)).snapshots] == ["one"]
    assert await bench.digest(there) == was


async def test_what_is_held_stays(bench: StreamBench, here: VolumeAt) -> None:
    await bench.streams.snapshot([here], "one")
    for _ in range(2):
        await bench.streams.hold(here, "one", "tag")
    with pytest.raises(InUse):
        await bench.streams.destroy(here, snapshots=["one"])
    for _ in range(2):
        await bench.streams.release(here, "one", "tag")
    await bench.streams.destroy(here, snapshots=["one"])
    await bench.streams.release(here, "one", "tag")


async def test_a_growth_arrives(bench: StreamBench, here: VolumeAt, there: VolumeAt) -> None:
    await whole(bench, here, there)
    await bench.storage.resize_volume(bench.here, "disk", 2 * SIZE_BYTES)
    await bench.streams.snapshot([here], "two")
    await passed(bench, SendOrder(volume=here, snapshot="two", since=Since(name="one")), there)
    await bench.streams.mark(there, {})
    assert (await bench.storage.find_volume(bench.there, "disk")).capacity_bytes == 2 * SIZE_BYTES


async def test_all_volumes_get_a_snapshot_or_none(bench: StreamBench, here: VolumeAt) -> None:
    await bench.storage.create_volume(bench.here, "more", SIZE_BYTES, "raw")
    more = VolumeAt(bench.here, "more")
    await bench.streams.snapshot([more], "one")
    with pytest.raises(AlreadyExists):
        await bench.streams.snapshot([here, more], "one")
    assert (await bench.streams.points(here)).snapshots == ()
    await bench.streams.snapshot([here, more], "two")
    assert [p.name for p in (await bench.streams.points(more)).snapshots] == ["one", "two"]


async def test_what_is_not_there_is_not_found_or_gone_already(bench: StreamBench, here: VolumeAt) -> None:
    nothing = VolumeAt(bench.here, "nothing")
    with pytest.raises(NotFound):
        await bench.streams.points(nothing)
    with pytest.raises(NotFound):
        async with bench.streams.send(SendOrder(volume=here, snapshot="none")) as content:
            await anext(content)
    await bench.streams.destroy(nothing, snapshots=["a"], bookmarks=["b"])
    await bench.streams.release(nothing, "a", "tag")
    await bench.streams.abandon(nothing)
    assert await bench.streams.resume_token(nothing) is None


async def test_a_reader_that_has_enough_ends_the_sender(bench: StreamBench, here: VolumeAt) -> None:
    await bench.streams.snapshot([here], "one")
    async with bench.streams.send(SendOrder(volume=here, snapshot="one")) as content:
        assert await anext(content)
    await bench.streams.destroy(here, snapshots=["one"])
