"""The tags by which a logical volume is known as ours."""

from horcrux.ids import NodeId

BASE = "horcrux.base"
"""On a volume that linked clones are made of, and that is never written to again."""


def volume_tag(node: NodeId) -> str:
    """On every volume of the node."""
    return f"horcrux.{node}"


def part_tag(node: NodeId) -> str:
    """On what is to be a volume of the node when it is whole."""
    return f"horcrux-part.{node}"
