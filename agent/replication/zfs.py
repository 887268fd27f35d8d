"""Streams of ZFS volumes, by `agent.storage.zfs_stream`.

The kernel reads and writes a pipe of its own accord, on a thread; the loop holds the other end. To stop it, that end is closed:

    send     thread writes --pipe--> we read            leaving the block closes our end: EPIPE ends the thread
    receive  we write --pipe--> thread reads            an early end of ours leaves what came, to be resumed
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.replication.driver import Content, SendOrder, VolumeAt
from agent.replication.pipe import PipeReader, PipeWriter, beside, pipe_for_reading, pipe_for_writing
from agent.storage.zfs_stream import ZfsPoint, ZfsStreams
from horcrux.errors import AlreadyExists, HorcruxError, NotFound
from horcrux.ids import NodeId
from horcrux.replication.points import Point, Points, Since
from horcrux.storage.zfs import NODE_MARK, READY, STATE_MARK, volume_dataset, zpool_of

READ_ONLY = {"readonly": 1}


class ZfsVolumeStreams:
    """`node` marks the volumes that are this node's."""

    def __init__(self, streams: ZfsStreams, node: NodeId) -> None:
        self._streams = streams
        self._node = node

    async def points(self, volume: VolumeAt) -> Points:
        snapshots, bookmarks = await self._streams.points(_dataset(volume))
        return Points(snapshots=_points(snapshots), bookmarks=_points(bookmarks))

    async def snapshot(self, volumes: Sequence[VolumeAt], name: str) -> None:
        zpools: dict[str, list[str]] = {}
        for volume in volumes:
            zpools.setdefault(zpool_of(_dataset(volume)), []).append(_snapshot(volume, name))
        for names in zpools.values():
            await self._streams.snapshot(names)

    async def destroy(self, volume: VolumeAt, *, snapshots: Sequence[str] = (), bookmarks: Sequence[str] = ()) -> None:
        await self._streams.destroy_bookmarks([f"{_dataset(volume)}#{name}" for name in bookmarks])
        await self._streams.destroy_snapshots([_snapshot(volume, name) for name in snapshots])

    async def hold(self, volume: VolumeAt, snapshot: str, tag: str) -> None:
        await self._streams.hold(_snapshot(volume, snapshot), tag)

    async def release(self, volume: VolumeAt, snapshot: str, tag: str) -> None:
        await self._streams.release(_snapshot(volume, snapshot), tag)

    async def bookmark(self, volume: VolumeAt, snapshot: str) -> None:
        try:
            await self._streams.bookmark(f"{_dataset(volume)}#{snapshot}", _snapshot(volume, snapshot))
        except AlreadyExists:
            points = await self.points(volume)
            of = {point.guid for point in points.snapshots if point.name == snapshot}
            if not any(mark.guid in of and mark.name == snapshot for mark in points.bookmarks):
                raise

    async def estimate(self, order: SendOrder) -> int | None:
        if order.token is not None:
            return None
        return await self._streams.send_bytes(
            _snapshot(order.volume, order.snapshot), since=_since(order.volume, order.since)
        )

    @asynccontextmanager
    async def send(self, order: SendOrder) -> AsyncIterator[Content]:
        async with (
            pipe_for_reading() as (reader, theirs),
            beside(self._send(order, theirs), reader.cut) as sending,
        ):
            yield _content(reader, sending)

    async def _send(self, order: SendOrder, theirs: int) -> HorcruxError | None:
        """Why it ended early; a value, so that it comes out where the stream is read."""
        try:
            if order.token is not None:
                await self._streams.send_resumed(order.token, theirs)
            else:
                since = _since(order.volume, order.since)
                await self._streams.send(_snapshot(order.volume, order.snapshot), theirs, since=since)
        except HorcruxError as err:
            return err
        finally:
            os.close(theirs)
        return None

    async def receive(self, volume: VolumeAt, snapshot: str, content: Content) -> None:
        async with (
            pipe_for_writing() as (writer, theirs),
            beside(self._receive(_snapshot(volume, snapshot), theirs), writer.cut) as receiving,
        ):
            await _pour(content, writer)
            await writer.end()
            error = await receiving
        if error is not None:
            raise error

    async def _receive(self, snapshot: str, theirs: int) -> HorcruxError | None:
        try:
            await self._streams.receive(snapshot, theirs, properties=READ_ONLY)
        except HorcruxError as err:
            return err
        finally:
            os.close(theirs)
        return None

    async def mark(self, volume: VolumeAt, marks: Mapping[str, str]) -> None:
        await self._streams.mark(_dataset(volume), {**marks, NODE_MARK: self._node, STATE_MARK: READY})

    async def resume_token(self, volume: VolumeAt) -> str | None:
        return await self._streams.resume_token(_dataset(volume))

    async def abandon(self, volume: VolumeAt) -> None:
        await self._streams.abort_receive(_dataset(volume))

    async def rollback(self, volume: VolumeAt, snapshot: str) -> None:
        points = await self.points(volume)
        wanted = next((point for point in points.snapshots if point.name == snapshot), None)
        if wanted is None:
            raise NotFound(f"volume {volume.name} has no snapshot {snapshot}", volume=volume.name, snapshot=snapshot)
        newer = [point.name for point in reversed(points.snapshots) if point.order > wanted.order]
        marks = [point.name for point in points.bookmarks if point.order > wanted.order]
        await self.destroy(volume, snapshots=newer, bookmarks=marks)
        await self._streams.roll_back(_dataset(volume), _snapshot(volume, snapshot))

    async def written_bytes(self, volume: VolumeAt) -> int:
        return await self._streams.number(_dataset(volume), "written")


async def _content(reader: PipeReader, sending: "asyncio.Task[HorcruxError | None]") -> AsyncIterator[bytes]:
    while piece := await reader.read():
        yield piece
    error = await sending
    if error is not None:
        raise error


async def _pour(content: Content, writer: PipeWriter) -> None:
    """Until the content ends, or the receiver has had enough of it (it says why itself)."""
    async for piece in content:
        if writer.is_deserted:
            return
        await writer.write(piece)


def _dataset(volume: VolumeAt) -> str:
    return volume_dataset(volume.pool.target, volume.name)


def _snapshot(volume: VolumeAt, name: str) -> str:
    return f"{_dataset(volume)}@{name}"


def _since(volume: VolumeAt, since: Since | None) -> str | None:
    if since is None:
        return None
    return f"{_dataset(volume)}{'#' if since.is_bookmark else '@'}{since.name}"


def _points(found: Sequence[ZfsPoint]) -> tuple[Point, ...]:
    return tuple(
        Point(name=_last(point.name), guid=f"{point.guid & (1 << 64) - 1:016x}", order=point.createtxg)
        for point in found
    )


def _last(name: str) -> str:
    """Behind the `@` or `#`."""
    return name.replace("#", "@").rpartition("@")[2]
