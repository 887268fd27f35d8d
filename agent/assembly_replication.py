"""Puts the peers' channel and replication together for a node.

trust -> source, runs (before the task engine starts: it undoes what they left) -> target -> listener, scheduler
"""

from collections.abc import Sequence

import msgspec

from agent.api.peers import PeerApi
from agent.api.replications import ReplicationApi
from agent.asked import Asked
from agent.blocking import BlockingPool
from agent.compute.registry import VmRegistry
from agent.events import Publisher
from agent.http.route import AnyRoute
from agent.loops import Loops
from agent.node import NodeState
from agent.peers.identity import open_identity
from agent.peers.listener import PeerListener
from agent.peers.route import PeerCall, PeerRoute, peer_app
from agent.peers.service import HELLO, Peers
from agent.replication.driver import StreamDriver
from agent.replication.ports import Freezer
from agent.replication.replica_records import ReplicaRecords
from agent.replication.replicas import Replicas
from agent.replication.scheduler import ReplicationScheduler
from agent.replication.service import Replications
from agent.replication.source import Source
from agent.replication.target import LOOK, PREPARE, RELEASE, SETTLE, STREAM
from agent.storage.service import StorageService
from agent.tasks import TaskEngine
from horcrux import __version__
from horcrux.clock import Clock
from horcrux.compute.vm import Disk
from horcrux.config import Settings
from horcrux.ids import PoolId
from horcrux.replication.peer import PeerSelf
from horcrux.replication.wire import Hello, LookOrder, PrepareOrder, ReleaseOrder, SettleOrder, StreamQuery
from horcrux.store import Store


class ReplicationParts(msgspec.Struct, frozen=True, kw_only=True):
    """What it stands on."""

    settings: Settings
    state: NodeState
    clock: Clock
    files: BlockingPool
    store: Store
    events: Publisher
    tasks: TaskEngine
    storage: StorageService
    registry: VmRegistry
    streams: StreamDriver | None
    freezer: Freezer
    asked: Asked
    """Whom scheduled runs are booked under."""


class Replicating:
    """The services, and what they need of the node."""

    def __init__(
        self, peers: Peers, replications: Replications, listener: PeerListener, parts: ReplicationParts
    ) -> None:
        self._peers = peers
        self._replications = replications
        self._listener = listener
        self._parts = parts

    def routes(self) -> Sequence[AnyRoute]:
        return (*PeerApi(self._peers, self._ourself).routes(), *ReplicationApi(self._replications).routes())

    def run(self, loops: Loops) -> None:
        """Once the task engine has started."""
        parts = self._parts
        scheduler = ReplicationScheduler(self._replications, parts.clock, parts.asked)
        parts.tasks.listen(self._replications.heard)
        loops.run("peers' port", self._listener.follow())
        loops.run("peers", self._peers.follow())
        loops.run("replication", scheduler.follow())

    def _ourself(self) -> PeerSelf:
        settings, identity = self._parts.settings, self._peers.identity
        host = f"[{settings.peer_host}]" if ":" in settings.peer_host else settings.peer_host
        return PeerSelf(
            name=self._parts.state.name,
            address=f"https://{host}:{self._listener.port}",
            fingerprint=identity.fingerprint,
            certificate=identity.certificate,
            is_listening=self._listener.is_listening,
        )


async def build_replication(parts: ReplicationParts) -> Replicating:
    """Before the task engine starts, after storage has."""
    identity = await parts.files.run(open_identity, parts.state.folder, parts.state.node_id)
    peers = Peers(parts.store, identity, parts.files, parts.events, parts.clock)
    await peers.start()
    replications = Replications(
        parts.store,
        Source(parts.storage.pools, parts.streams, lambda vm_id: _disks(parts.registry, vm_id)),
        peers,
        parts.tasks,
        parts.events,
        task_of=parts.tasks.running_on,
        freezer=parts.freezer,
        clock=parts.clock,
        node=parts.state.node_id,
        node_name=parts.state.name,
    )
    await replications.start()
    replicas = await _replicas(parts, peers)
    app = peer_app((_hello(parts), *_replica_routes(replicas)), peers.trust, peers.met)
    settings = parts.settings
    listener = PeerListener(app, peers.trust, peers, parts.clock, host=settings.peer_host, port=settings.peer_port)
    return Replicating(peers, replications, listener, parts)


async def _replicas(parts: ReplicationParts, peers: Peers) -> Replicas:
    async def tell(pool: PoolId, volume: str) -> None:
        await parts.storage.volumes.tell(pool, volume)

    records = ReplicaRecords(parts.store, peers.trust.knows, tell)
    await records.start()
    parts.storage.volumes.replicas = records
    return Replicas(records, parts.storage.pools, parts.streams, parts.clock)


def _disks(registry: VmRegistry, vm_id: str) -> Sequence[Disk]:
    return registry.find(vm_id).document.value.spec.disks


def _hello(parts: ReplicationParts) -> PeerRoute:
    async def hello(_call: PeerCall[msgspec.Struct]) -> Hello:
        return Hello(node=parts.state.node_id, name=parts.state.name, version=__version__)

    return PeerRoute(method="GET", path=HELLO, handler=hello)


def _replica_routes(replicas: Replicas) -> Sequence[PeerRoute]:
    return (
        PeerRoute(method="POST", path=LOOK, handler=replicas.look, order=LookOrder),
        PeerRoute(method="PUT", path=STREAM, handler=replicas.receive, order=StreamQuery, is_stream=True),
        PeerRoute(method="POST", path=PREPARE, handler=replicas.prepare, order=PrepareOrder),
        PeerRoute(method="POST", path=SETTLE, handler=replicas.settle, order=SettleOrder),
        PeerRoute(method="POST", path=RELEASE, handler=replicas.release, order=ReleaseOrder),
    )
