"""Streams of volumes: what replication needs of ZFS. Implementations: `zfs.py`, `fake.py`; one conformance suite for both.

A volume is named by its pool and its name in it. NotFound for a volume or snapshot that is not there, NoSpace when the
target is full, Unavailable when the pool does not answer. Everything but `send` and `receive` is short and idempotent.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from horcrux.replication.points import Points, Since
from horcrux.storage.pool import PoolDocument


class VolumeAt(msgspec.Struct, frozen=True):
    """A volume in a pool of this node."""

    pool: PoolDocument
    name: str


class SendOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot: whole, or what changed `since`; with `token` what the receiver of a cut stream has not got yet
    (then `since` does not matter: the token knows)."""

    volume: VolumeAt
    snapshot: str
    since: Since | None = None
    token: str | None = None


Content = AsyncIterator[bytes]


class PointsDriver(Protocol):
    """What a source and a target both need."""

    async def points(self, volume: VolumeAt) -> Points:
        """NotFound."""
        ...

    async def destroy(self, volume: VolumeAt, *, snapshots: Sequence[str] = (), bookmarks: Sequence[str] = ()) -> None:
        """Gone, also when they were gone before, or the volume. InUse for a snapshot that is held or has clones."""
        ...


class SendDriver(PointsDriver, Protocol):
    async def snapshot(self, volumes: Sequence[VolumeAt], name: str) -> None:
        """Each has a snapshot of that name; those of one zpool all at one time. AlreadyExists."""
        ...

    async def hold(self, volume: VolumeAt, snapshot: str, tag: str) -> None:
        """It cannot be destroyed until `release`. Idempotent."""
        ...

    async def release(self, volume: VolumeAt, snapshot: str, tag: str) -> None:
        """Not held under that tag, also when it was not, or is gone with its volume."""
        ...

    async def bookmark(self, volume: VolumeAt, snapshot: str) -> None:
        """A bookmark of the snapshot's name and guid; done already is fine."""
        ...

    async def estimate(self, order: SendOrder) -> int | None:
        """Bytes that `send` will give, about; None when nobody knows."""
        ...

    def send(self, order: SendOrder) -> AbstractAsyncContextManager[Content]:
        """The stream. Leaving the block early ends the sender. Errors come out of the iteration, before its end."""
        ...


class ReceiveDriver(PointsDriver, Protocol):
    async def receive(self, volume: VolumeAt, snapshot: str, content: Content) -> None:
        """The volume has the snapshot; made when it was not there, read-only, and no volume of its pool yet (`mark`). Never
        rolls back: Diverged, when somebody wrote to it, or it does not stand at what the stream begins with. A stream that
        ends early (Interrupted), or an iteration that raises (its error), leaves what came for `resume_token`."""
        ...

    async def mark(self, volume: VolumeAt, marks: Mapping[str, str]) -> None:
        """It is a volume of its pool, with these user properties."""
        ...

    async def resume_token(self, volume: VolumeAt) -> str | None:
        """Of a receive that was cut off; None when there was none, or no such volume."""
        ...

    async def abandon(self, volume: VolumeAt) -> None:
        """What came of a cut-off receive is gone (the whole volume, when that was all it held); done already is fine."""
        ...

    async def rollback(self, volume: VolumeAt, snapshot: str) -> None:
        """It is as at that snapshot; what is newer is destroyed."""
        ...

    async def written_bytes(self, volume: VolumeAt) -> int:
        """Written to it since its newest snapshot."""
        ...


class StreamDriver(SendDriver, ReceiveDriver, Protocol):
    """Both ends."""
