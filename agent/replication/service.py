"""Replications for the API: made, changed, run, ended; and their runs when they are due.

due (cron in UTC, or some time after a failure), or asked for --> task replication.run (locks: itself, the VM's volumes)
delete: disabled -> the peer lets go or deletes -> nothing of ours is left here -> documents gone
"""

import logging
from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET

from agent.asked import Asked
from agent.events import Publisher
from agent.peers.service import Peers
from agent.replication.ports import Freezer
from agent.replication.run import UNDO, ReplicationRun
from agent.replication.source import Source, merged
from agent.replication.states import ReplicationStates
from agent.replication.target import Target
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.auth.permission import Scope
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, HorcruxError, NotFound, invalid_field
from horcrux.ids import NodeId, TaskId, VmId, check_name
from horcrux.if_match import check_match
from horcrux.replication.bodies import (
    EndReplication,
    NewReplication,
    ReplicationChange,
    ReplicationView,
    RunReplication,
)
from horcrux.replication.peer import PeerName
from horcrux.replication.replication import (
    ReplicationDocument,
    ReplicationId,
    VolumeRef,
    check_limit,
    status_of,
)
from horcrux.replication.schedule import check_schedule, next_run_at
from horcrux.storage.volume import volume_lock
from horcrux.store import Collection, Document, Store
from horcrux.tasks import Task, TaskState, as_result

log = logging.getLogger("horcrux.replication")


class Replications:
    """Start it before the task engine: what that undoes needs the states."""

    def __init__(
        self,
        store: Store,
        source: Source,
        peers: Peers,
        tasks: TaskSubmitter,
        events: Publisher,
        *,
        task_of: Callable[[str], TaskId | None],
        freezer: Freezer,
        clock: Clock,
        node: NodeId,
        node_name: str,
    ) -> None:
        """`task_of` tells which task holds a lock."""
        self._documents = Collection(store, "replication", ReplicationDocument)
        self._known: dict[ReplicationId, Document[ReplicationDocument]] = {}
        self._states = ReplicationStates(store, clock, self._tell)
        self._source = source
        self._peers = peers
        self._tasks = tasks
        self._task_of = task_of
        self._events = events
        self._freezer = freezer
        self._clock = clock
        self._node = node
        self._node_name = node_name
        self._calm: set[ReplicationId] = set()
        """Those whose last run somebody cancelled: they are not tried again before their time."""
        tasks.recovery(UNDO, self._settle)
        peers.used_by(self._users_of)

    async def start(self) -> None:
        """What the Store holds is known."""
        self._known = {document.value.id: document for document in await self._documents.list()}
        await self._states.start()

    def views(self) -> list[ReplicationView]:
        """By id."""
        return [self._view(self._known[id_]) for id_ in sorted(self._known)]

    def view(self, id_: str) -> ReplicationView:
        """NotFound."""
        return self._view(self._find(id_))

    async def create(self, order: NewReplication) -> ReplicationView:
        """Checked as far as this node can; whether the peer has the pool, the first run tells."""
        vm_id = VmId(check_name(order.vm_id, "vm_id"))
        try:
            self._source.volumes(vm_id)
            self._peers.trust.find(order.peer)
        except NotFound as err:
            raise invalid_field("vm_id" if err.details.get("kind") == "vm" else "peer", str(err)) from err
        document = ReplicationDocument(
            id=self._free_id(order),
            vm_id=vm_id,
            node=self._node,
            peer=PeerName(order.peer),
            target_pool=check_name(order.target_pool, "target_pool"),
            schedule=check_schedule(order.schedule, "schedule"),
            bandwidth_limit_mib_s=check_limit(order.bandwidth_limit_mib_s, "bandwidth_limit_mib_s"),
            is_enabled=order.is_enabled,
            created_at=self._clock.now(),
        )
        self._check_only(document)
        await self._documents.create(document.id, document)
        self._known[document.id] = await self._documents.get(document.id)
        self._tell(document.id)
        return self.view(document.id)

    async def change(self, id_: str, change: ReplicationChange, if_match: int | None) -> ReplicationView:
        """Takes effect with the next run. Stale."""
        was = self._find(id_)
        await self._check_match(was, if_match)
        values: dict[str, object] = {}
        if change.schedule is not UNSET:
            values["schedule"] = check_schedule(change.schedule, "schedule")
        if change.bandwidth_limit_mib_s is not UNSET:
            values["bandwidth_limit_mib_s"] = check_limit(change.bandwidth_limit_mib_s, "bandwidth_limit_mib_s")
        if change.is_enabled is not UNSET:
            values["is_enabled"] = change.is_enabled
        await self._replace(was, msgspec.structs.replace(was.value, **values))
        return self.view(id_)

    async def run(self, id_: str, order: RunReplication, asked: Asked) -> Task:
        """A task; Busy, naming it, while one runs. Conflict, naming the disk, for a VM that cannot be replicated."""
        document = self._find(id_).value
        refs = self._source.volumes(document.vm_id)
        target = self._target(document)
        work = ReplicationRun(
            document, refs, self._source, target, self._states, freezer=self._freezer, clock=self._clock
        )

        async def body(run: TaskRun) -> Mapping[str, object]:
            self._calm.discard(document.id)
            await work.perform(run, afresh=order.afresh)
            return as_result(self.view(document.id))

        locks = (volume_lock(ref.pool, ref.volume) for ref in refs)
        task = asked.order("replication.run", f"replication/{document.id}", _lock(document.id), *locks)
        return await self._tasks.submit(task, body)

    async def delete(self, id_: str, how: EndReplication, if_match: int | None, asked: Asked) -> Task:
        """A task. Nothing of ours is left on the volumes here; the replica is left or deleted, as asked."""
        await self._check_match(self._find(id_), if_match)

        async def body(run: TaskRun) -> None:
            was = self._find(id_)
            await self._replace(was, msgspec.structs.replace(was.value, is_enabled=False))
            await run.stage(
                f"asking peer {was.value.peer} to {'delete' if how.delete_replica else 'let go of'} it", 0.1
            )
            await self._release(run, was.value, how)
            await run.stage("removing snapshots and bookmarks here", 0.7)
            refs = self._states.get(was.value.id).volumes
            await self._source.clean(was.value.id, merged(refs, self._volumes_now(was.value)), keep=None)
            await self._states.forget(was.value.id)
            await self._documents.delete(was.value.id)
            self._known.pop(was.value.id, None)
            self._tell(was.value.id)

        order = asked.order("replication.delete", f"replication/{id_}", _lock(id_))
        return await self._tasks.submit(order, body)

    def due(self) -> list[ReplicationId]:
        """Those that are to run now, the longest overdue first."""
        now = self._clock.now()
        times = {id_: at for id_, d in self._known.items() if (at := self._next_run_at(d.value)) is not None}
        return sorted((id_ for id_, at in times.items() if at <= now), key=lambda id_: times[id_])

    async def could_not_begin(self, id_: ReplicationId, why: HorcruxError) -> None:
        """Told as a run that failed: what stands in the way does not go by itself."""
        await self._states.fail(id_, str(why), 0)

    def heard(self, task: Task) -> None:
        """For `TaskEngine.listen`."""
        noun, _, id_ = task.target.partition("/")
        if noun != "replication":
            return
        if task.action == "replication.run" and task.state is TaskState.CANCELLED:
            self._calm.add(ReplicationId(id_))
        if task.state.is_final or task.state is TaskState.RUNNING:
            self._tell(ReplicationId(id_))

    async def _release(self, run: TaskRun, document: ReplicationDocument, how: EndReplication) -> None:
        try:
            released = await self._target(document).release(delete=how.delete_replica)
        except HorcruxError as err:
            if not how.force:
                words = f"{err}; with force the replication ends here alone, and the peer keeps what it has"
                raise type(err)(words, **err.details) from err
            run.warn(f"the peer keeps its replica, it could not be asked: {err}")
        else:
            run.log(
                f"the peer has {'deleted' if how.delete_replica else 'let go of'} {', '.join(released.volumes) or 'nothing'}"
            )

    def _target(self, document: ReplicationDocument) -> Target:
        return Target(self._peers.client, document, f"{self._node_name}/{document.vm_id}")

    def _volumes_now(self, document: ReplicationDocument) -> tuple[VolumeRef, ...]:
        try:
            return self._source.volumes(document.vm_id)
        except HorcruxError:
            return ()

    async def _settle(self, args: Mapping[str, str]) -> None:
        """After a run that did not end well: nothing is held, the state says so. The next run goes on."""
        id_ = ReplicationId(args["id"])
        await self._source.let_go(id_, self._states.get(id_).volumes)
        if id_ in self._known:
            await self._states.cut_off(id_, args["task"])

    def _find(self, id_: str) -> Document[ReplicationDocument]:
        known = self._known.get(ReplicationId(id_))
        if known is None:
            raise NotFound(f"replication {id_} does not exist", kind="replication", id=id_)
        return known

    async def _replace(self, was: Document[ReplicationDocument], now: ReplicationDocument) -> None:
        await self._documents.replace(now.id, was, now)
        self._known[now.id] = await self._documents.get(now.id)
        self._tell(now.id)

    def _view(self, document: Document[ReplicationDocument]) -> ReplicationView:
        wanted, state = document.value, self._states.get(document.value.id)
        operation = self._task_of(_lock(wanted.id))
        return ReplicationView.of(
            msgspec.structs.replace(wanted, node=NodeId(self._node_name)) if wanted.node == self._node else wanted,
            state,
            document.revision,
            status=status_of(wanted, state, is_running=operation is not None),
            operation=operation,
            next_run_at=self._next_run_at(wanted),
        )

    def _next_run_at(self, document: ReplicationDocument) -> float | None:
        """None while it runs, and for one that is disabled or another node's."""
        if not document.is_enabled or document.node != self._node:
            return None
        if self._task_of(_lock(document.id)) is not None:
            return None
        state = self._states.get(document.id)
        return next_run_at(
            document.schedule,
            created_at=document.created_at,
            started_at=state.started_at,
            failed_at=state.finished_at,
            failures=0 if document.id in self._calm else state.failures,
        )

    def _free_id(self, order: NewReplication) -> ReplicationId:
        if order.id is not None:
            return ReplicationId(check_name(order.id, "id"))
        names = (order.vm_id if n == 1 else f"{order.vm_id[:58]}-{n}" for n in range(1, 1000))
        return next(ReplicationId(name) for name in names if name not in self._known)

    def _check_only(self, document: ReplicationDocument) -> None:
        """AlreadyExists when the replicas would be the same volumes."""
        for other in (known.value for known in self._known.values()):
            where = (other.vm_id, other.peer, other.target_pool)
            if where == (document.vm_id, document.peer, document.target_pool):
                words = (
                    f"replication {other.id} keeps VM {other.vm_id} in pool {other.target_pool} of peer {other.peer}"
                )
                raise AlreadyExists(f"{words} already", kind="replication", id=other.id)

    async def _check_match(self, found: Document[ReplicationDocument], if_match: int | None) -> None:
        await check_match(f"replication {found.value.id}", found, if_match, lambda: self._view(found))

    def _users_of(self, peer: PeerName) -> list[str]:
        return [f"replication {id_}" for id_, known in self._known.items() if known.value.peer == peer]

    def _tell(self, id_: ReplicationId) -> None:
        known = self._known.get(id_)
        self._events.publish("replication", id_, None if known is None else self._view(known), Scope.STORAGE_READ)


def _lock(id_: str) -> str:
    return f"replication/{id_}"
