"""Bodies of the calls that work on one disk of a VM."""

import msgspec


class MoveDisk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Into another pool of the node. The disk becomes independent of what it was a linked clone of."""

    storage_pool: str
    format: str | None = None
    """None: as it is where that pool can, else what the pool makes by itself."""


class ResizeDisk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Disks grow and never shrink."""

    size_gb: float
