"""What the two ends of a replication say to each other over the peers' channel, and the target's record of a replica.

    source                                target
    look(volumes)  ---------------------> what each replica has: snapshots, token, what was received
    receive(volume, snapshot) + stream -> record first (`incoming`), then the driver; recorded as received at its end
    settle(snapshot, volumes) ----------> the set is whole: recorded, snapshots that the source no longer has go
    release(...) -----------------------> the replication ended: replicas are let go, or deleted

Volumes are `<target pool>/<name>`. A replica belongs to one peer and one replication of it; nobody else may touch it.
"""

import msgspec

from horcrux.ids import PoolId
from horcrux.replication.plan import Replica


class ReplicaDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `replica` in the target's Store, id `<pool>/<volume>`; made before the first byte is received."""

    pool: PoolId
    volume: str
    peer: str
    """The name under which the source is trusted here."""
    fingerprint: str
    """Of the source's certificate: a peer that was entered anew under another name is the same source."""
    source: str
    """`<node>/<vm>`, also kept as a property of the volume."""
    vm_id: str
    replication: str
    incoming: str | None = None
    """Guid of the snapshot that is being received, or was when the stream was cut."""
    received: tuple[str, ...] = ()
    last: str | None = None
    snapshot: str | None = None
    """Name of `last`."""
    received_at: float | None = None
    is_live: bool = True
    """The replication goes on; False when its source let go of it."""


class VolumeNames(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which replicas a call is about."""

    pool: str
    replication: str
    volumes: tuple[str, ...]


class LookOrder(VolumeNames, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a `ReplicaSeen` for each, in order."""


class ReplicaSeen(msgspec.Struct, frozen=True, kw_only=True):
    volume: str
    replica: Replica
    error: str = ""
    """What the last stream ended with, when that was the target's doing."""
    code: str = ""


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of the call whose body is the stream. `is_rest`: it goes on after a cut."""

    pool: str
    replication: str
    volume: str
    vm_id: str
    source: str
    snapshot: str
    guid: str
    is_rest: bool = False


class PrepareOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`abandon` what was cut off, then roll back."""

    pool: str
    replication: str
    volume: str
    abandon: bool = False
    rollback_to: str | None = None


class SettleOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All volumes of the VM have `snapshot`. `kept` are the guids of its users' snapshots: what was received and is
    not among them goes. Replicas of volumes that are not named are no longer live."""

    pool: str
    replication: str
    snapshot: str
    kept: dict[str, tuple[str, ...]]
    """By volume."""


class ReleaseOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pool: str
    replication: str
    delete: bool = False


class Released(msgspec.Struct, frozen=True, kw_only=True):
    volumes: tuple[str, ...]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    name: str
    version: str


class PeerRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Body of an answer that is not a 2xx."""

    error: str
    code: str
    details: dict[str, object] = {}
