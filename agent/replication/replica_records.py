"""The records of this node's replicas, and what they mean to whoever works with volumes here."""

from collections.abc import Awaitable, Callable, Mapping

from horcrux.errors import InUse
from horcrux.ids import PoolId
from horcrux.replication.wire import ReplicaDocument
from horcrux.store import Collection, Store

REPLICA_MARK = "horcrux:replica-of"
REPLICATION_MARK = "horcrux:replication"


class ReplicaRecords:
    """All in memory; only this node writes its own. `is_trusted` tells whether a certificate (its fingerprint) still is."""

    def __init__(
        self,
        store: Store,
        is_trusted: Callable[[str], bool],
        tell_volume: Callable[[PoolId, str], Awaitable[None]],
    ) -> None:
        self._documents = Collection(store, "replica", ReplicaDocument)
        self._is_trusted = is_trusted
        self._known: dict[tuple[str, str], ReplicaDocument] = {}
        self.tell_volume = tell_volume

    async def start(self) -> None:
        found = [document.value for document in await self._documents.list()]
        self._known = {(each.pool, each.volume): each for each in found}

    def find(self, pool: str, volume: str) -> ReplicaDocument | None:
        return self._known.get((pool, volume))

    def of(self, fingerprint: str, replication: str) -> list[ReplicaDocument]:
        """Those of one replication of one peer."""
        return [r for r in self._known.values() if (r.fingerprint, r.replication) == (fingerprint, replication)]

    async def put(self, record: ReplicaDocument) -> None:
        id_ = f"{record.pool}/{record.volume}"
        was = await self._documents.find(id_)
        if was is None:
            await self._documents.create(id_, record)
        else:
            await self._documents.replace(id_, was, record)
        self._known[record.pool, record.volume] = record

    async def forget(self, record: ReplicaDocument) -> None:
        await self._documents.delete(f"{record.pool}/{record.volume}")
        self._known.pop((record.pool, record.volume), None)

    def replica_of(self, pool: str, volume: str) -> str | None:
        """`<node>/<vm>` for a replica."""
        record = self.find(pool, volume)
        return None if record is None else record.source

    def check_writable(self, pool: str, volume: str) -> None:
        """InUse for a replica: it is never written to, or attached to a VM."""
        record = self.find(pool, volume)
        if record is not None:
            raise InUse(
                f"volume {volume} is a replica of {record.source}, which is read only", replica_of=record.source
            )

    def check_deletable(self, pool: str, volume: str) -> None:
        """InUse while the replication goes on: its source lets go of it."""
        record = self.find(pool, volume)
        if record is not None and record.is_live and self._is_trusted(record.fingerprint):
            words = f"volume {volume} is a replica of {record.source}, kept by replication {record.replication}"
            way_out = f"delete that at peer {record.peer}, or remove the peer"
            raise InUse(f"{words}; {way_out}", replica_of=record.source)

    async def deleted(self, pool: str, volume: str) -> None:
        """The volume is gone."""
        record = self.find(pool, volume)
        if record is not None:
            await self.forget(record)


def marks_of(record: ReplicaDocument) -> Mapping[str, str]:
    """The user properties that tell of it whoever finds the volume without us."""
    return {REPLICA_MARK: record.source, REPLICATION_MARK: record.replication}
