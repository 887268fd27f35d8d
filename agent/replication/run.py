"""One run of a replication.

    state says: running (undo recorded before)
      snapshot of an earlier run has not arrived whole, and is here still --> finish that first
    number, name -> state -> snapshots and bookmarks of all volumes at one time -> held
      each volume: look -> plan -> (throw away, roll back) -> streams, through the limit
    all there -> settled at the peer -> state says so (the one point of commitment) -> cleaned up here

Cut off anywhere, what was begun is finished or thrown away by the next run; holds last no longer than the run.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from agent.replication.driver import SendOrder
from agent.replication.ports import Freezer
from agent.replication.pump import Pump
from agent.replication.source import Source, merged
from agent.replication.states import ReplicationStates
from agent.replication.target import Target
from agent.tasks import TaskRun
from horcrux.clock import Clock
from horcrux.errors import Busy, Diverged, HorcruxError, Unreachable
from horcrux.replication.plan import Step, VolumePlan, plan_volume
from horcrux.replication.points import OURS, Points, snapshot_name
from horcrux.replication.replication import ReplicationDocument, VolumeRef, limit_bytes_per_s

UNDO = "replication.settle"


class ReplicationRun:
    """`refs` are the volumes that the task holds the locks of."""

    def __init__(
        self,
        document: ReplicationDocument,
        refs: Sequence[VolumeRef],
        source: Source,
        target: Target,
        states: ReplicationStates,
        *,
        freezer: Freezer,
        clock: Clock,
    ) -> None:
        self._document = document
        self._refs = tuple(refs)
        self._source = source
        self._target = target
        self._states = states
        self._freezer = freezer
        self._clock = clock
        self._sent = 0

    async def perform(self, run: TaskRun, *, afresh: bool) -> None:
        """The peer has everything up to now. What fails is written into the state, then raised."""
        id_ = self._document.id
        await run.undo(UNDO, id=id_, task=run.task.id)
        state = self._states.get(id_)
        await self._states.begin(id_, run.task.id, merged(state.volumes, self._refs))
        try:
            if self._source.volumes(self._document.vm_id) != self._refs:
                raise Busy(f"the disks of VM {self._document.vm_id} changed a moment ago; the next run takes them")
            if afresh:
                await run.stage("deleting the replica at the peer")
                await self._target.release(delete=True)
                await self._source.clean(self._document.id, self._states.get(id_).volumes, keep=None)
                await self._states.forget_arrived(id_)
            await self._finish_earlier(run)
            await self._run(run, await self._take(run))
        except HorcruxError as err:
            await self._states.fail(id_, str(err), self._sent)
            raise
        await self._states.end(id_, self._refs)
        await run.commit()

    async def _finish_earlier(self, run: TaskRun) -> None:
        pending = self._states.get(self._document.id).pending
        if pending is not None and await self._source.has_snapshot(self._refs, pending):
            run.log(f"{pending} has not arrived whole yet: that first")
            await self._source.remember(self._refs, pending)
            await self._run(run, pending)

    async def _take(self, run: TaskRun) -> str:
        """The name of a new snapshot of all volumes."""
        state = self._states.get(self._document.id)
        name = snapshot_name(self._document.id, state.number + 1)
        await self._states.number(self._document.id, name)
        await run.stage(f"taking snapshot {name}")
        is_consistent = await self._freezer.quietly(
            run, self._document.vm_id, lambda: self._source.take(self._refs, name)
        )
        await self._source.remember(self._refs, name)
        await self._states.taken(self._document.id, is_consistent=is_consistent)
        return name

    async def _run(self, run: TaskRun, name: str) -> None:
        """The peer has the snapshot of every volume."""
        await self._source.hold(self._refs, name)
        points = await self._source.points(self._refs)
        plans = await self._plans(run, points, name)
        pump = Pump(limit_bytes_per_s(self._document), self._clock, await self._counter(run, plans))
        for ref in self._refs:
            await self._send(run, ref, plans[ref.volume], pump)
        await run.stage("settling at the peer", 0.98)
        await self._target.settle(name, {volume: _users(each) for volume, each in points.items()})
        await self._states.arrive(self._document.id, name, self._sent)
        await run.stage("cleaning up", 0.99)
        await self._source.clean(self._document.id, self._refs, keep=name)
        places = {(ref.pool, ref.volume) for ref in self._refs}
        before = self._states.get(self._document.id).volumes
        gone = [ref for ref in before if (ref.pool, ref.volume) not in places]
        await self._source.clean(self._document.id, gone, keep=None)

    async def _plans(self, run: TaskRun, points: Mapping[str, Points], name: str) -> dict[str, VolumePlan]:
        await run.stage(f"asking peer {self._document.peer} what it has")
        plans = {}
        for seen in await self._target.look([ref.volume for ref in self._refs]):
            try:
                plans[seen.volume] = plan_volume(points[seen.volume], name, seen.replica)
            except Diverged as err:
                where = f"replica {self._document.target_pool}/{seen.volume} at peer {self._document.peer}"
                raise Diverged(f"{where}: {err}", **err.details) from err
            if seen.error:
                run.log(f"the last stream of {seen.volume} ended at the peer with: {seen.error}")
        return plans

    async def _counter(self, run: TaskRun, plans: Mapping[str, VolumePlan]) -> Callable[[int], None]:
        """Hears of every piece that is sent, and makes progress of it."""
        whole = 0
        for ref in self._refs:
            for step in plans[ref.volume].steps:
                whole += await self._source.streams.estimate(self._order(ref, step)) or 0
        begun = self._sent

        def count(size: int) -> None:
            self._sent += size
            if whole:
                run.progress(min(0.97, (self._sent - begun) / whole))

        return count

    async def _send(self, run: TaskRun, ref: VolumeRef, plan: VolumePlan, pump: Pump) -> None:
        if plan.abandon or plan.rollback_to is not None:
            if plan.rollback_to is not None:
                run.warn(f"{ref.disk} went back to an earlier state here; its replica follows, to {plan.rollback_to}")
            await self._target.prepare(ref.volume, abandon=plan.abandon, rollback_to=plan.rollback_to)
        for step in plan.steps:
            await run.stage(f"{ref.disk}: {_told(step)}")
            async with self._content(ref, step, pump) as content:
                await self._send_step(ref, step, content)

    async def _send_step(self, ref: VolumeRef, step: Step, content: AsyncIterator[bytes]) -> None:
        """A connection that breaks may hide why: the peer is asked once more."""
        try:
            await self._target.send(ref.volume, step, content)
        except Unreachable as err:
            try:
                (seen,) = await self._target.look([ref.volume])
            except HorcruxError:
                raise err from None
            if seen.error and seen.code != "interrupted":
                raise Unreachable(f"peer {self._document.peer}: {seen.error}") from err
            raise

    @asynccontextmanager
    async def _content(self, ref: VolumeRef, step: Step, pump: Pump) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._source.streams.send(self._order(ref, step)) as content:
            yield pump.through(content)

    def _order(self, ref: VolumeRef, step: Step) -> SendOrder:
        at = self._source.at(ref)
        return SendOrder(volume=at, snapshot=step.snapshot.name, since=step.since, token=step.token)


def _users(points: Points) -> tuple[str, ...]:
    """Guids of the snapshots that are not ours: those live on at the peer as long as they do here."""
    return tuple(point.guid for point in points.snapshots if not point.name.startswith(OURS))


def _told(step: Step) -> str:
    if step.token is not None:
        return f"the rest of {step.snapshot.name}, where it was cut off"
    return f"{step.snapshot.name} whole" if step.since is None else f"{step.snapshot.name} since {step.since.name}"
