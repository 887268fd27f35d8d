"""Bodies of the storage calls, as `horcrux.md` and our additions have them. Times are epoch seconds, `size_gb` GiB."""

from typing import Self

import msgspec

from horcrux.storage.pool import FoundPool, Health, PoolDocument, PoolSeen, PoolType
from horcrux.storage.volume import Image, Volume, VolumeKind, VolumeOptions, VolumeSnapshot, VolumeUse
from horcrux.units import GIB, bytes_to_gib


class NewPool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`target`: a folder of the node for `dir` (made when it does not exist), `<host>:<path>` for `nfs`, a dataset for `zfs`, a
    volume group for `lvm`, the target's IQN for `iscsi`, Ceph's pool for `rbd`. `options` are those of its type."""

    id: str
    name: str | None = None
    """None: as the id."""
    storage_type: str = PoolType.DIR.value
    target: str
    options: dict[str, str] = {}


class NewVolume(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`image` names an image of the pool to begin from; then `size_gb` may be left out (the image's own size) or be larger."""

    name: str
    size_gb: float | None = None
    format: str | None = None
    """None: what the pool makes by itself."""
    image: str | None = None
    options: VolumeOptions | None = None
    """None: as the pool says."""


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


class PoolOffers(msgspec.Struct, frozen=True, kw_only=True):
    """What can be done in a pool; nothing where this node does not serve it."""

    formats: tuple[str, ...] = ()
    can_snapshot: bool = False
    can_clone: bool = False
    holds_images: bool = False


class FoundPoolView(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the host that a pool can stand on; `pool` already does."""

    storage_type: PoolType
    target: str
    total_bytes: int
    available_bytes: int
    health: Health
    problems: tuple[str, ...]
    pool: str | None

    @classmethod
    def of(cls, found: FoundPool, pool: str | None) -> Self:
        return cls(**msgspec.structs.asdict(found), pool=pool)


class VolumeSnapshotView(msgspec.Struct, frozen=True, kw_only=True):
    """`used_bytes`: what its deletion would free at least; None where the pool cannot tell."""

    name: str
    created_at: int
    used_bytes: int | None

    @classmethod
    def of(cls, snapshot: VolumeSnapshot) -> Self:
        return cls(name=snapshot.name, created_at=int(snapshot.created_at), used_bytes=snapshot.used_bytes)


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
    health: Health
    problems: tuple[str, ...]
    """Sentences about what somebody has to look after."""
    options: dict[str, str]
    formats: tuple[str, ...]
    """Of the volumes that can be made in it; the first is the default."""
    can_snapshot: bool
    can_clone: bool
    """Whether it makes linked clones."""
    holds_images: bool
    created_at: int
    revision: int
    """The ETag's number, for If-Match."""

    @classmethod
    def of(cls, pool: PoolDocument, revision: int, seen: PoolSeen, node_name: str, offers: PoolOffers) -> Self:
        return cls(
            id=pool.id,
            name=pool.name,
            storage_type=pool.storage_type,
            available=(seen.available_bytes or 0) // GIB,
            total=seen.total_bytes // GIB,
            available_bytes=seen.available_bytes or 0,
            total_bytes=seen.total_bytes,
            node=node_name,
            target=pool.target,
            is_active=seen.is_active,
            reason=seen.reason,
            health=seen.health if seen.is_active else Health.FAULTED,
            problems=seen.problems,
            options=pool.options,
            formats=offers.formats,
            can_snapshot=offers.can_snapshot,
            can_clone=offers.can_clone,
            holds_images=offers.holds_images,
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
    kind: VolumeKind
    base: str | None
    """The volume that this one is a linked clone of."""
    clones: tuple[str, ...]
    """The linked clones that stand on it."""
    used_by: VolumeUse | None
    replica_of: str | None
    """`<node>/<vm>` whose volume this one is a read-only replica of."""

    @classmethod
    def of(
        cls,
        volume: Volume,
        use: VolumeUse | None,
        clones: tuple[str, ...] = (),
        replica_of: str | None = None,
    ) -> Self:
        return cls(
            name=volume.name,
            pool=volume.pool,
            format=volume.format,
            size_gb=bytes_to_gib(volume.capacity_bytes),
            capacity_bytes=volume.capacity_bytes,
            allocation_bytes=volume.allocation_bytes,
            kind=volume.kind,
            base=volume.base,
            clones=clones,
            used_by=use,
            replica_of=replica_of,
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
