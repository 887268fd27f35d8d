"""A volume of the fake: blocks, snapshots of them, and what a cut-off receive has brought."""

import msgspec

from horcrux.replication.points import Point, Points

BLOCK_BYTES = 4096
Blocks = dict[int, bytes]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a stream. `skipped` blocks are not sent again."""

    snapshot: str
    guid: str
    since: str | None
    capacity_bytes: int
    blocks: int
    skipped: int = 0


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a receive that was cut off has got."""

    guid: str
    since: str | None
    blocks: int


class Kept(msgspec.Struct, kw_only=True):
    """A snapshot, or what a bookmark remembers of one."""

    point: Point
    blocks: Blocks
    tags: set[str] = msgspec.field(default_factory=set)


class Partial(msgspec.Struct, kw_only=True):
    token: Token
    blocks: Blocks


class FakeVolume(msgspec.Struct, kw_only=True):
    blocks: Blocks = msgspec.field(default_factory=dict)
    snapshots: list[Kept] = msgspec.field(default_factory=list)
    bookmarks: list[Kept] = msgspec.field(default_factory=list)
    partial: Partial | None = None
    marks: dict[str, str] = msgspec.field(default_factory=dict)
    is_read_only: bool = False

    def points(self) -> Points:
        return Points(
            snapshots=tuple(kept.point for kept in self.snapshots),
            bookmarks=tuple(kept.point for kept in self.bookmarks),
        )

    def find(self, snapshot: str) -> Kept | None:
        return next((kept for kept in self.snapshots if kept.point.name == snapshot), None)

    def written_blocks(self) -> list[int]:
        """Numbers of those that differ from the newest snapshot."""
        newest = self.snapshots[-1].blocks if self.snapshots else {}
        return changed(newest, self.blocks)


def changed(was: Blocks, now: Blocks) -> list[int]:
    """Numbers of the blocks that differ, in order."""
    return sorted(at for at in was.keys() | now.keys() if was.get(at) != now.get(at))
