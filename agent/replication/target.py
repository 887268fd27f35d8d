"""The peer as a run sees it: the calls of `agent.replication.replicas`, over the channel."""

from collections.abc import AsyncIterator, Mapping, Sequence

from agent.peers.client import PeerClient
from horcrux.replication.plan import Step
from horcrux.replication.replication import ReplicationDocument
from horcrux.replication.wire import (
    LookOrder,
    PrepareOrder,
    Released,
    ReleaseOrder,
    ReplicaSeen,
    SettleOrder,
    StreamQuery,
)

LOOK = "/peer/v1/replicas/look"
STREAM = "/peer/v1/replicas/stream"
PREPARE = "/peer/v1/replicas/prepare"
SETTLE = "/peer/v1/replicas/settle"
RELEASE = "/peer/v1/replicas/release"

SLOW_S = 600
"""Deleting and rolling back large volumes takes its time."""


class Target:
    """Of one replication. `source` is `<node>/<vm>`. All calls raise Unreachable, and what the peer raises."""

    def __init__(self, client: PeerClient, document: ReplicationDocument, source: str) -> None:
        self._client = client
        self._document = document
        self._source = source

    async def look(self, volumes: Sequence[str]) -> list[ReplicaSeen]:
        """In the order of `volumes`."""
        d = self._document
        order = LookOrder(pool=d.target_pool, replication=d.id, volumes=tuple(volumes))
        return await self._client.call(d.peer, LOOK, order, list[ReplicaSeen], SLOW_S)

    async def send(self, volume: str, step: Step, content: AsyncIterator[bytes]) -> None:
        d = self._document
        query = StreamQuery(
            pool=d.target_pool,
            replication=d.id,
            volume=volume,
            vm_id=d.vm_id,
            source=self._source,
            snapshot=step.snapshot.name,
            guid=step.snapshot.guid,
            is_rest=step.token is not None,
        )
        await self._client.stream(d.peer, STREAM, query, content, _Nothing)

    async def prepare(self, volume: str, *, abandon: bool, rollback_to: str | None) -> None:
        d = self._document
        order = PrepareOrder(
            pool=d.target_pool, replication=d.id, volume=volume, abandon=abandon, rollback_to=rollback_to
        )
        await self._client.call(d.peer, PREPARE, order, _Nothing, SLOW_S)

    async def settle(self, snapshot: str, kept: Mapping[str, tuple[str, ...]]) -> None:
        d = self._document
        order = SettleOrder(pool=d.target_pool, replication=d.id, snapshot=snapshot, kept=dict(kept))
        await self._client.call(d.peer, SETTLE, order, _Nothing, SLOW_S)

    async def release(self, *, delete: bool) -> Released:
        d = self._document
        order = ReleaseOrder(pool=d.target_pool, replication=d.id, delete=delete)
        return await self._client.call(d.peer, RELEASE, order, Released, SLOW_S)


_Nothing = type(None)
