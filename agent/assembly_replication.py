"""Puts the peers' channel and replication together for a node.

trust -> source, runs (before the task engine starts: it undoes what they left) -> target -> listener, scheduler
"""

from collections.abc import Sequence

import msgspec

from agent.api.peers import PeerApi
from agent.api.replications import ReplicationApi
from agent.asked import Asked
from agent.compute.registry import VmRegistry
from agent.compute.snapshot_stillness import Stillness
from agent.ground import Core
from agent.http.route import AnyRoute
from agent.loops import Loops
from agent.node import NodeState
from agent.peers.identity import open_identity
from agent.peers.listener import PeerListener
from agent.peers.route import PeerCall, PeerRoute, peer_app
from agent.peers.service import HELLO, Peers
from agent.replication.freezer import GuestFreezer
from agent.replication.replica_records import ReplicaRecords
from agent.replication.replicas import Replicas
from agent.replication.scheduler import ReplicationScheduler
from agent.replication.service import Replications
from agent.replication.source import Source
from agent.replication.target import LOOK, PREPARE, RELEASE, SETTLE, STREAM
from agent.storage.service import StorageService
from horcrux import __version__
from horcrux.compute.vm import Disk
from horcrux.ids import PoolId
from horcrux.replication.peer import PeerSelf
from horcrux.replication.wire import Hello, LookOrder, PrepareOrder, ReleaseOrder, SettleOrder, StreamQuery


class Replicating:
    """The services, and what they need of the node."""

    def __init__(
        self, core: Core, peers: Peers, replications: Replications, listener: PeerListener, asked: Asked
    ) -> None:
        self._core = core
        self._peers = peers
        self._replications = replications
        self._listener = listener
        self._asked = asked

    def routes(self) -> Sequence[AnyRoute]:
        return (*PeerApi(self._peers, self._ourself).routes(), *ReplicationApi(self._replications).routes())

    def run(self, loops: Loops) -> None:
        """Once the task engine has started."""
        scheduler = ReplicationScheduler(self._replications, self._core.ground.clock, self._asked)
        self._core.tasks.listen(self._replications.heard)
        loops.run("peers' port", self._listener.follow())
        loops.run("peers", self._peers.follow())
        loops.run("replication", scheduler.follow())

    def _ourself(self) -> PeerSelf:
        ground, identity = self._core.ground, self._peers.identity
        settings = ground.settings
        host = f"[{settings.peer_host}]" if ":" in settings.peer_host else settings.peer_host
        return PeerSelf(
            name=ground.state.name,
            address=f"https://{host}:{self._listener.port}",
            fingerprint=identity.fingerprint,
            certificate=identity.certificate,
            is_listening=self._listener.is_listening,
        )


async def build_replication(
    core: Core, storage: StorageService, registry: VmRegistry, still: Stillness, asked: Asked
) -> Replicating:
    """Before the task engine starts, after storage has. Scheduled runs are booked under `asked`."""
    ground, tasks = core.ground, core.tasks
    state, settings = ground.state, ground.settings
    identity = await ground.files.run(open_identity, state.folder, state.node_id)
    peers = Peers(core.store, identity, ground.files, core.events, ground.clock)
    await peers.start()
    replications = Replications(
        core.store,
        Source(storage.pools, core.drivers.streams, lambda vm_id: _disks(registry, vm_id)),
        peers,
        tasks,
        core.events,
        task_of=tasks.running_on,
        freezer=GuestFreezer(still, core.drivers.guest_snapshots, state_of=registry.state_of, task_of=tasks.running_on),
        clock=ground.clock,
        node=state.node_id,
        node_name=state.name,
    )
    await replications.start()
    replicas = await _replicas(core, storage, peers)
    app = peer_app((_hello(state), *_replica_routes(replicas)), peers.trust, peers.met)
    listener = PeerListener(app, peers.trust, peers, ground.clock, host=settings.peer_host, port=settings.peer_port)
    return Replicating(core, peers, replications, listener, asked)


async def _replicas(core: Core, storage: StorageService, peers: Peers) -> Replicas:
    async def tell(pool: PoolId, volume: str) -> None:
        await storage.volumes.tell(pool, volume)

    records = ReplicaRecords(core.store, peers.trust.knows, tell)
    await records.start()
    storage.volumes.replicas = records
    return Replicas(records, storage.pools, core.drivers.streams, core.ground.clock)


def _disks(registry: VmRegistry, vm_id: str) -> Sequence[Disk]:
    return registry.find(vm_id).document.value.spec.disks


def _hello(state: NodeState) -> PeerRoute:
    async def hello(_call: PeerCall[msgspec.Struct]) -> Hello:
        return Hello(node=state.node_id, name=state.name, version=__version__)

    return PeerRoute(method="GET", path=HELLO, handler=hello)


def _replica_routes(replicas: Replicas) -> Sequence[PeerRoute]:
    return (
        PeerRoute(method="POST", path=LOOK, handler=replicas.look, order=LookOrder),
        PeerRoute(method="PUT", path=STREAM, handler=replicas.receive, order=StreamQuery, is_stream=True),
        PeerRoute(method="POST", path=PREPARE, handler=replicas.prepare, order=PrepareOrder),
        PeerRoute(method="POST", path=SETTLE, handler=replicas.settle, order=SettleOrder),
        PeerRoute(method="POST", path=RELEASE, handler=replicas.release, order=ReleaseOrder),
    )
