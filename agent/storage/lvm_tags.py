"""The tags by which a logical volume is known as ours."""

from horcrux.ids import NodeId

BASE = "horcrux.base"
"""On a volume that linked clones are made of, and that is never written to again."""

_ZERO_FROM = "horcrux-zero-from."


def volume_tag(node: NodeId) -> str:
    """On every volume of the node."""
    return f"horcrux.{node}"


def part_tag(node: NodeId) -> str:
    """On what is to be a volume of the node when it is whole."""
    return f"horcrux-part.{node}"


def zero_from_tag(size_bytes: int) -> str:
    """On a volume that grows, from before it does until what it got holds nothing of who had that space before."""
    return f"{_ZERO_FROM}{size_bytes}"


def zero_from(tags: frozenset[str]) -> int | None:
    """Where what has not been zeroed begins; None when all has been."""
    sizes = [int(tag.removeprefix(_ZERO_FROM)) for tag in tags if tag.startswith(_ZERO_FROM)]
    return min(sizes, default=None)
