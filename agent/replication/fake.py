"""Streams in memory, beside the fake storage driver, which knows what volumes there are.

A stream is a header line, then blocks of eight bytes of number and 4 KiB of content. The conformance suite holds it to what
ZFS does.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec

from agent.replication.driver import Content, SendOrder, VolumeAt
from agent.replication.fake_volume import (
    BLOCK_BYTES,
    Blocks,
    FakeVolume,
    Header,
    Kept,
    Partial,
    Token,
    changed,
)
from agent.storage.driver import StorageDriver
from horcrux.errors import AlreadyExists, Conflict, Diverged, Interrupted, InUse, NoSpace, NotFound
from horcrux.ids import Entropy
from horcrux.replication.points import Point, Points, Since

_RECORD = 8 + BLOCK_BYTES


class FakeStreams:
    """`room_bytes`: how much more may be received; then the pool is full."""

    def __init__(self, storage: StorageDriver, entropy: Entropy) -> None:
        self._storage = storage
        self._entropy = entropy
        self._volumes: dict[tuple[str, str], FakeVolume] = {}
        self._time = 0
        self.room_bytes: int | None = None
        self.halt_after: int | None = None
        """After so many blocks of a stream it stands still, as when the network does; `halted` tells."""
        self.halted = asyncio.Event()

    async def content(self, volume: VolumeAt) -> Blocks:
        """What a guest would read now."""
        return dict((await self._find(volume)).blocks)

    async def mark(self, volume: VolumeAt, marks: Mapping[str, str]) -> None:
        (await self._find(volume)).marks.update(marks)

    async def marks(self, volume: VolumeAt) -> Mapping[str, str]:
        return dict((await self._find(volume)).marks)

    async def write(self, volume: VolumeAt, block: int, content: bytes) -> None:
        """A guest writes; read-only volumes refuse."""
        found = await self._find(volume)
        if found.is_read_only:
            raise Conflict(f"volume {volume.name} is read-only")
        found.blocks[block] = content.ljust(BLOCK_BYTES, b"\0")

    async def make_writable(self, volume: VolumeAt) -> None:
        """An operator overrules us."""
        (await self._find(volume)).is_read_only = False

    async def points(self, volume: VolumeAt) -> Points:
        return (await self._find(volume)).points()

    async def snapshot(self, volumes: Sequence[VolumeAt], name: str) -> None:
        found = [await self._find(volume) for volume in volumes]
        if any(each.find(name) for each in found):
            raise AlreadyExists(f"there is a snapshot {name} already")
        for each in found:
            self._time += 1
            point = Point(name=name, guid=self._entropy(8).hex(), order=self._time)
            each.snapshots.append(Kept(point=point, blocks=dict(each.blocks)))

    async def destroy(self, volume: VolumeAt, *, snapshots: Sequence[str] = (), bookmarks: Sequence[str] = ()) -> None:
        try:
            found = await self._find(volume)
        except NotFound:
            return
        for kept in found.snapshots:
            if kept.point.name in snapshots and kept.tags:
                raise InUse(f"snapshot {kept.point.name} of volume {volume.name} is held ({', '.join(kept.tags)})")
        found.snapshots = [kept for kept in found.snapshots if kept.point.name not in snapshots]
        found.bookmarks = [kept for kept in found.bookmarks if kept.point.name not in bookmarks]

    async def hold(self, volume: VolumeAt, snapshot: str, tag: str) -> None:
        (await self._snapshot(volume, snapshot)).tags.add(tag)

    async def release(self, volume: VolumeAt, snapshot: str, tag: str) -> None:
        try:
            (await self._snapshot(volume, snapshot)).tags.discard(tag)
        except NotFound:
            return

    async def bookmark(self, volume: VolumeAt, snapshot: str) -> None:
        kept = await self._snapshot(volume, snapshot)
        found = await self._find(volume)
        if not any(each.point == kept.point for each in found.bookmarks):
            found.bookmarks.append(Kept(point=kept.point, blocks=kept.blocks))

    async def estimate(self, order: SendOrder) -> int | None:
        _, records = await self._stream(order)
        return len(records) * _RECORD

    @asynccontextmanager
    async def send(self, order: SendOrder) -> AsyncIterator[Content]:
        header, records = await self._stream(order)

        async def content() -> AsyncIterator[bytes]:
            yield msgspec.json.encode(header) + b"\n"
            for number, (at, block) in enumerate(records):
                if number == self.halt_after:
                    self.halted.set()
                    await asyncio.Event().wait()
                yield at.to_bytes(8, "big") + block
                await asyncio.sleep(0)

        yield content()

    async def receive(self, volume: VolumeAt, snapshot: str, content: Content) -> None:
        reader = _Reader(content)
        header = msgspec.json.decode(await reader.line(), type=Header)
        found = await self._begin(volume, header)
        if found.partial is None:
            base = self._base(found, header)
            found.partial = Partial(token=Token(guid=header.guid, since=header.since, blocks=0), blocks=base)
        partial = found.partial
        for _ in range(header.blocks - header.skipped):
            record = await reader.exactly(_RECORD)
            self._take_room(volume, len(record))
            partial.blocks[int.from_bytes(record[:8], "big")] = record[8:]
            partial.token = msgspec.structs.replace(partial.token, blocks=partial.token.blocks + 1)
        self._time += 1
        point = Point(name=snapshot, guid=header.guid, order=self._time)
        found.snapshots.append(Kept(point=point, blocks=dict(partial.blocks)))
        found.blocks, found.partial = dict(partial.blocks), None

    async def resume_token(self, volume: VolumeAt) -> str | None:
        try:
            partial = (await self._find(volume)).partial
        except NotFound:
            return None
        return None if partial is None else msgspec.json.encode(partial.token).decode()

    async def abandon(self, volume: VolumeAt) -> None:
        try:
            found = await self._find(volume)
        except NotFound:
            return
        found.partial = None
        if not found.snapshots and found.is_read_only:
            await self._storage.delete_volume(volume.pool, volume.name)

    async def rollback(self, volume: VolumeAt, snapshot: str) -> None:
        found, kept = await self._find(volume), await self._snapshot(volume, snapshot)
        found.snapshots = found.snapshots[: found.snapshots.index(kept) + 1]
        found.blocks = dict(kept.blocks)

    async def written_bytes(self, volume: VolumeAt) -> int:
        return len((await self._find(volume)).written_blocks()) * BLOCK_BYTES

    async def _find(self, volume: VolumeAt) -> FakeVolume:
        key = (volume.pool.id, volume.name)
        try:
            await self._storage.find_volume(volume.pool, volume.name)
        except NotFound:
            self._volumes.pop(key, None)
            raise
        return self._volumes.setdefault(key, FakeVolume())

    async def _snapshot(self, volume: VolumeAt, name: str) -> Kept:
        kept = (await self._find(volume)).find(name)
        if kept is None:
            raise NotFound(f"volume {volume.name} has no snapshot {name}", volume=volume.name, snapshot=name)
        return kept

    async def _stream(self, order: SendOrder) -> tuple[Header, list[tuple[int, bytes]]]:
        """Header and blocks of what is asked for."""
        kept = await self._snapshot(order.volume, order.snapshot)
        found = await self._find(order.volume)
        token = None if order.token is None else msgspec.json.decode(order.token, type=Token)
        if token is not None and token.guid != kept.point.guid:
            raise NotFound(f"the cut-off stream was of a snapshot that volume {order.volume.name} no longer has")
        base = _base_of(found, order.since, token)
        numbers = changed(base.blocks if base else {}, kept.blocks)
        skipped = token.blocks if token else 0
        capacity = (await self._storage.find_volume(order.volume.pool, order.volume.name)).capacity_bytes
        header = Header(
            snapshot=order.snapshot,
            guid=kept.point.guid,
            since=base.point.guid if base else None,
            capacity_bytes=capacity,
            blocks=len(numbers),
            skipped=skipped,
        )
        return header, [(at, kept.blocks.get(at, bytes(BLOCK_BYTES))) for at in numbers[skipped:]]

    async def _begin(self, volume: VolumeAt, header: Header) -> FakeVolume:
        """The volume is there, as large as the source's, and stands at what the stream begins with."""
        try:
            found = await self._find(volume)
        except NotFound:
            if header.since is not None or header.skipped:
                raise Diverged(f"volume {volume.name} is not there to be brought up to date") from None
            await self._storage.create_volume(volume.pool, volume.name, header.capacity_bytes, "raw")
            found = await self._find(volume)
        else:
            _check_stands(volume, found, header)
        found.is_read_only = True
        at = await self._storage.find_volume(volume.pool, volume.name)
        if at.capacity_bytes < header.capacity_bytes:
            await self._storage.resize_volume(volume.pool, volume.name, header.capacity_bytes)
        return found

    def _base(self, found: FakeVolume, header: Header) -> Blocks:
        kept = next((k for k in found.snapshots if k.point.guid == header.since), None)
        return copy.copy(kept.blocks) if kept else {}

    def _take_room(self, volume: VolumeAt, amount: int) -> None:
        if self.room_bytes is None:
            return
        self.room_bytes -= amount
        if self.room_bytes < 0:
            raise NoSpace(f"pool {volume.pool.id} is full: volume {volume.name} cannot be received")


def _base_of(found: FakeVolume, since: Since | None, token: Token | None) -> Kept | None:
    """What an incremental stream begins at; None for a whole one."""
    everything = [*found.snapshots, *found.bookmarks]
    if token is not None:
        return next((k for k in everything if k.point.guid == token.since), None)
    if since is None:
        return None
    kept = next(
        (k for k in (found.bookmarks if since.is_bookmark else found.snapshots) if k.point.name == since.name), None
    )
    if kept is None:
        raise NotFound(f"there is no {'bookmark' if since.is_bookmark else 'snapshot'} {since.name} to begin from")
    return kept


def _check_stands(volume: VolumeAt, found: FakeVolume, header: Header) -> None:
    if found.partial is not None:
        token = found.partial.token
        if (token.guid, token.blocks) != (header.guid, header.skipped):
            raise Conflict(f"volume {volume.name} waits for the rest of another stream")
        return
    newest = found.snapshots[-1].point if found.snapshots else None
    if header.since is None or newest is None or newest.guid != header.since:
        name = newest.name if newest else "nothing"
        raise Diverged(f"volume {volume.name} stands at {name}, not at what the stream begins with", snapshot=name)
    if found.written_blocks():
        raise Diverged(f"volume {volume.name} was written to after snapshot {newest.name}", snapshot=newest.name)


class _Reader:
    """Lines and records of a stream that comes in pieces of any size. Interrupted at an early end."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._rest = b""

    async def line(self) -> bytes:
        while b"\n" not in self._rest:
            await self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    async def exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            await self._more()
        record, self._rest = self._rest[:size], self._rest[size:]
        return record

    async def _more(self) -> None:
        try:
            self._rest += await anext(self._content)
        except StopAsyncIteration:
            raise Interrupted("the stream ended early") from None
