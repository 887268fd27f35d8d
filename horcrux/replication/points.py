"""Points in the life of a volume that two nodes can have in common: snapshots, and bookmarks that remember one.

Names prove nothing (a snapshot can be destroyed and made anew under the same name); `guid` is the same on both sides for
what is the same content.
"""

import msgspec

OURS = "hx-repl-"
"""Begins the name of every snapshot and bookmark that a replication makes: `hx-repl-<replication>-<n>`."""
HOLD = "hx-repl"
"""The tag under which a run holds what it sends."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """`order` grows with time within one volume (ZFS: createtxg)."""

    name: str
    guid: str
    order: int


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """Both by `order`."""

    snapshots: tuple[Point, ...] = ()
    bookmarks: tuple[Point, ...] = ()


class Since(msgspec.Struct, frozen=True, kw_only=True):
    """What an incremental stream begins at."""

    name: str
    is_bookmark: bool = False


def snapshot_prefix(replication: str) -> str:
    return f"{OURS}{replication}-"


def snapshot_name(replication: str, number: int) -> str:
    return f"{snapshot_prefix(replication)}{number}"


def is_of(replication: str, name: str) -> bool:
    """Whether that replication made it: the prefix of `a` must not match what `a-1` made."""
    prefix = snapshot_prefix(replication)
    return name.startswith(prefix) and name.removeprefix(prefix).isdigit()
