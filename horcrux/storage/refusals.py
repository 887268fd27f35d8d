"""Refusals that every kind of pool makes, in the same words and with the same details: who calls cannot tell the kinds apart."""

from collections.abc import Sequence

from horcrux.errors import AlreadyExists, Conflict, InUse, NotFound, invalid_field
from horcrux.storage.pool import PoolDocument
from horcrux.storage.volume import AS_THE_POOL, VolumeOptions


def volume_taken(pool: str, name: str, or_what: str | None = None) -> AlreadyExists:
    """The pool has a volume of that name, or `or_what`, which takes the name too."""
    words = f"pool {pool} has a volume {name} already" + (f", or {or_what}" if or_what else "")
    return AlreadyExists(words, kind="volume", pool=pool, id=name)


def no_volume(pool: str, name: str) -> NotFound:
    """The pool has no volume of that name."""
    return NotFound(f"pool {pool} has no volume {name}", kind="volume", pool=pool, id=name)


def base_never_changes(pool: str, name: str) -> Conflict:
    """The volume is a base, which may be read only."""
    words = f"volume {name} of pool {pool} is a base of linked clones and never changes"
    return Conflict(words, kind="volume", pool=pool, id=name)


def not_a_base(pool: str, name: str) -> Conflict:
    """Nothing can be linked to the volume."""
    words = f"volume {name} of pool {pool} may change still; clones need a base"
    return Conflict(words, kind="volume", pool=pool, id=name)


def check_grows(pool: str, name: str, has_bytes: int, wanted_bytes: int) -> None:
    """Conflict with `capacity_bytes` when the volume is larger than wanted."""
    if wanted_bytes < has_bytes:
        raise Conflict(
            f"volume {name} of pool {pool} has {has_bytes} bytes already, and volumes never shrink",
            kind="volume",
            pool=pool,
            id=name,
            capacity_bytes=has_bytes,
        )


def has_clones(pool: str, name: str, clones: Sequence[str], snapshot: str | None = None) -> InUse:
    """`clones`, in their order, stand on the volume, or on a snapshot of it."""
    what = (
        f"volume {name} of pool {pool}" if snapshot is None else f"snapshot {snapshot} of volume {name} of pool {pool}"
    )
    words = f"{what} has linked clones, which stand on it: {', '.join(clones)}"
    return InUse(words, kind="volume", pool=pool, id=name, clones=list(clones))


def check_no_clones(pool: str, name: str, clones: Sequence[str]) -> None:
    """InUse, naming them, when there are any."""
    if clones:
        raise has_clones(pool, name, clones)


def check_no_options(pool: PoolDocument, options: VolumeOptions) -> None:
    """InvalidFields for any, in a kind of pool that has none."""
    if options != AS_THE_POOL:
        raise invalid_field("options", f"pool {pool.id} ({pool.storage_type}) has no options for its volumes")
