"""Bodies of the storage calls, as `horcrux.md` and our additions have them. Times are epoch seconds, `size_gb` GiB."""

from typing import Self

import msgspec

from horcrux.storage.pool import PoolDocument, PoolSeen, PoolType
from horcrux.storage.volume import Image, Volume, VolumeUse
from horcrux.units import GIB, bytes_to_gib


class NewPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`target` is a folder of the node for `dir`; it is made when it does not exist."""

    id: str
    name: str | None = None
    """None: as the id."""
    storage_type: str = PoolType.DIR.value
    target: str


class NewVolume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`image` names an image of the pool to begin from; then `size_gb` may be left out (the image's own size) or be larger."""

    name: str
    size_gb: float | None = None
    format: str = "qcow2"
    image: str | None = None


class ResizeVolume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size_gb: float


class FetchImage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sha256` may be left out for https and file."""

    name: str
    url: str
    sha256: str | None = None


class UploadQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`sha256`: what the image must sum up to."""

    sha256: str | None = None


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """`available` and `total` are whole GiB, as the document has them; the bytes stand beside them."""

    id: str
    name: str
    storage_type: PoolType
    available: int
    total: int
    available_bytes: int
    total_bytes: int
    node: str
    target: str
    is_active: bool
    reason: str
    """Why it is not active."""
    created_at: int
    revision: int
    """The ETag's number, for If-Match."""

    @classmethod
    def of(cls, pool: PoolDocument, revision: int, seen: PoolSeen, node_name: str) -> Self:
        return cls(
            id=pool.id,
            name=pool.name,
            storage_type=pool.storage_type,
            available=seen.available_bytes // GIB,
            total=seen.total_bytes // GIB,
            available_bytes=seen.available_bytes,
            total_bytes=seen.total_bytes,
            node=node_name,
            target=pool.target,
            is_active=seen.is_active,
            reason=seen.reason,
            created_at=int(pool.created_at),
            revision=revision,
        )


class VolumeView(msgspec.Struct, frozen=True, kw_only=True):
    """`used_by`: the VM that has it as a disk."""

    name: str
    pool: str
    format: str
    size_gb: float
    capacity_bytes: int
    allocation_bytes: int
    used_by: VolumeUse | None

    @classmethod
    def of(cls, volume: Volume, use: VolumeUse | None) -> Self:
        return cls(
            name=volume.name,
            pool=volume.pool,
            format=volume.format,
            size_gb=bytes_to_gib(volume.capacity_bytes),
            capacity_bytes=volume.capacity_bytes,
            allocation_bytes=volume.allocation_bytes,
            used_by=use,
        )


class ImageView(msgspec.Struct, frozen=True, kw_only=True):
    """`used_by`: a VM that has it in its drive."""

    name: str
    pool: str
    format: str
    size_bytes: int
    virtual_size_bytes: int
    sha256: str
    created_at: int
    used_by: VolumeUse | None

    @classmethod
    def of(cls, image: Image, use: VolumeUse | None) -> Self:
        return cls(
            name=image.name,
            pool=image.pool,
            format=image.format,
            size_bytes=image.size_bytes,
            virtual_size_bytes=image.virtual_size_bytes,
            sha256=image.sha256,
            created_at=int(image.created_at),
            used_by=use,
        )


def as_result(view: msgspec.Struct) -> dict[str, object]:
    """The view as the result of a task holds it: what its JSON holds."""
    shown: dict[str, object] = msgspec.to_builtins(view)
    return shown
