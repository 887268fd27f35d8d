"""What became of each replication: its state document, kept in memory too, written only by this node."""

from collections.abc import Callable, Sequence

import msgspec

from horcrux.clock import Clock
from horcrux.ids import TaskId
from horcrux.replication.replication import ReplicationId, ReplicationState, VolumeRef
from horcrux.store import Collection, Document, Store

State = ReplicationState


class ReplicationStates:
    """`changed` is called with the id after every write."""

    def __init__(self, store: Store, clock: Clock, changed: Callable[[ReplicationId], None]) -> None:
        self._documents = Collection(store, "replication-state", State)
        self._clock = clock
        self._changed = changed
        self._known: dict[ReplicationId, Document[State]] = {}

    async def start(self) -> None:
        self._known = {document.value.id: document for document in await self._documents.list()}

    def get(self, id_: ReplicationId) -> State:
        """A fresh one for a replication that never ran."""
        known = self._known.get(id_)
        return State(id=id_) if known is None else known.value

    async def begin(self, id_: ReplicationId, task: TaskId, volumes: Sequence[VolumeRef]) -> None:
        """A run is under way. What may carry our snapshots is written down before any is taken."""
        now = self._clock.now()
        await self._change(id_, task=task, started_at=now, volumes=tuple(volumes), bytes_sent=0)

    async def number(self, id_: ReplicationId, name: str) -> None:
        """A snapshot of that name is going to be taken."""
        await self._change(id_, number=self.get(id_).number + 1, pending=name)

    async def taken(self, id_: ReplicationId, *, is_consistent: bool) -> None:
        await self._change(id_, is_pending_consistent=is_consistent)

    async def forget_arrived(self, id_: ReplicationId) -> None:
        """The peer has nothing any more."""
        await self._change(id_, pending=None, snapshot=None)

    async def arrive(self, id_: ReplicationId, name: str, sent: int) -> None:
        """The peer has the snapshot of every volume."""
        state, now = self.get(id_), self._clock.now()
        await self._change(
            id_,
            pending=None,
            snapshot=name,
            is_consistent=state.is_pending_consistent,
            success_at=now,
            finished_at=now,
            error=None,
            failures=0,
            bytes_sent=sent,
        )

    async def fail(self, id_: ReplicationId, error: str, sent: int) -> None:
        state = self.get(id_)
        await self._change(
            id_, task=None, error=error, failures=state.failures + 1, finished_at=self._clock.now(), bytes_sent=sent
        )

    async def end(self, id_: ReplicationId, volumes: Sequence[VolumeRef]) -> None:
        """No run is under way; only `volumes` carry anything of ours."""
        await self._change(id_, task=None, finished_at=self._clock.now(), volumes=tuple(volumes))

    async def cut_off(self, id_: ReplicationId, task: str) -> None:
        """That run ended without a word, if it is still the last one."""
        if self.get(id_).task == task:
            await self.fail(id_, "the run was cut off before its end", self.get(id_).bytes_sent)

    async def forget(self, id_: ReplicationId) -> None:
        await self._documents.delete(id_)
        self._known.pop(id_, None)

    async def _change(self, id_: ReplicationId, **values: object) -> None:
        known = self._known.get(id_)
        state: State = msgspec.structs.replace(self.get(id_), **values)
        if known is None:
            await self._documents.create(id_, state)
        else:
            await self._documents.replace(id_, known, state)
        self._known[id_] = await self._documents.get(id_)
        self._changed(id_)
