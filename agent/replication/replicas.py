"""The target's side: replicas of peers' volumes, in pools of this node.

A replica is recorded before its first byte comes, so that no volume of somebody else's is ever without its record:

    (none) --first stream--> live --source lets go, or is not trusted any more--> left: an operator here may delete it
                              '--source asks for its deletion--> (none)

One stream at a time comes into a volume. `look`, with which every run begins, cuts off what an earlier run left behind.
"""

import asyncio
import logging

import msgspec

from agent.peers.route import PeerCall
from agent.replication.driver import ReceiveDriver, VolumeAt
from agent.replication.replica_records import ReplicaRecords, marks_of
from agent.storage.pools import OpenPool, Pools
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, Busy, Conflict, HorcruxError, NotFound
from horcrux.replication.plan import Replica
from horcrux.replication.wire import (
    LookOrder,
    PrepareOrder,
    Released,
    ReleaseOrder,
    ReplicaDocument,
    ReplicaSeen,
    SettleOrder,
    StreamQuery,
)
from horcrux.storage.pool import PoolType
from horcrux.storage.volume import check_volume_name

log = logging.getLogger("horcrux.replication")


class Replicas:
    def __init__(self, records: ReplicaRecords, pools: Pools, streams: ReceiveDriver | None, clock: Clock) -> None:
        """`streams` is None on a host that cannot."""
        self.records = records
        self._pools = pools
        self._streams = streams
        self._clock = clock
        self._receiving: dict[str, asyncio.Task[object]] = {}
        self._errors: dict[str, HorcruxError] = {}

    async def look(self, call: PeerCall[LookOrder]) -> list[ReplicaSeen]:
        """Each volume as it is now; nothing of an earlier run comes into it any more."""
        order = call.order
        async with self._pools.using(order.pool) as pool:
            streams = self._driver(pool)
            seen = []
            for name in order.volumes:
                at = VolumeAt(pool.document, check_volume_name(name, "volumes"))
                await self._cut(_key(at))
                self._check_ours(call, at, order.replication)
                error = self._errors.pop(_key(at), None)
                replica = await _replica(streams, at, self.records.find(order.pool, name))
                told = ("", "") if error is None else (str(error), error.code)
                seen.append(ReplicaSeen(volume=name, replica=replica, error=told[0], code=told[1]))
        return seen

    async def receive(self, call: PeerCall[StreamQuery]) -> None:
        """The snapshot is there whole, and recorded so."""
        query = call.order
        async with self._pools.using(query.pool) as pool:
            streams = self._driver(pool)
            at = VolumeAt(pool.document, check_volume_name(query.volume, "volume"))
            key = _key(at)
            if key in self._receiving:
                raise Busy(f"a stream comes into volume {key} already")
            task = asyncio.current_task()
            assert task is not None
            self._receiving[key] = task
            self._errors.pop(key, None)
            try:
                await self._receive(call, streams, at)
            except HorcruxError as err:
                self._errors[key] = err
                log.warning("replica %s of %s: %s", key, query.source, err)
                raise
            finally:
                del self._receiving[key]

    async def prepare(self, call: PeerCall[PrepareOrder]) -> None:
        """What was cut off is gone, and the replica is as it was at an older snapshot; each only where asked."""
        order = call.order
        async with self._pools.using(order.pool) as pool:
            streams = self._driver(pool)
            at = VolumeAt(pool.document, check_volume_name(order.volume, "volume"))
            record = self._check_ours(call, at, order.replication)
            if record is None:
                raise NotFound(f"volume {_key(at)} is no replica here")
            if _key(at) in self._receiving:
                raise Busy(f"a stream comes into volume {_key(at)}")
            if order.abandon:
                await streams.abandon(at)
                await self.records.put(msgspec.structs.replace(record, incoming=None))
            if order.rollback_to is not None:
                log.info("replica %s goes back to %s, as its source did", _key(at), order.rollback_to)
                await streams.rollback(at, order.rollback_to)

    async def settle(self, call: PeerCall[SettleOrder]) -> None:
        """The set is whole: what the source no longer has goes here too, volumes that it no longer has are left."""
        order = call.order
        async with self._pools.using(order.pool) as pool:
            streams = self._driver(pool)
            for name, kept in order.kept.items():
                at = VolumeAt(pool.document, check_volume_name(name, "kept"))
                record = self._check_ours(call, at, order.replication)
                if record is None:
                    raise NotFound(f"volume {_key(at)} is no replica here")
                await self._settle(streams, at, record, order.snapshot, frozenset(kept))
        for record in self.records.of(call.peer.fingerprint, order.replication):
            if (record.pool != order.pool or record.volume not in order.kept) and record.is_live:
                where = f"{record.pool}/{record.volume}"
                try:
                    await self._leave(record)
                except HorcruxError as err:  # the set is whole without it; the next run asks again
                    log.warning(
                        "replica %s is kept, though its disk is no longer one of %s: %s", where, record.source, err
                    )
                else:
                    log.info("replica %s is let go of: its disk is no longer one of %s", where, record.source)

    async def release(self, call: PeerCall[ReleaseOrder]) -> Released:
        """The replication has ended: its replicas are left to this node's operators, or deleted."""
        order, names = call.order, []
        for record in self.records.of(call.peer.fingerprint, order.replication):
            key = f"{record.pool}/{record.volume}"
            await self._cut(key)
            if order.delete:
                await self._delete(record)
            else:
                await self._leave(record)
            log.info("replica %s of %s is %s", key, record.source, "deleted" if order.delete else "left")
            names.append(key)
        return Released(volumes=tuple(names))

    async def _receive(self, call: PeerCall[StreamQuery], streams: ReceiveDriver, at: VolumeAt) -> None:
        query = call.order
        record = self._check_ours(call, at, query.replication)
        if record is None:
            await _check_free(streams, at)
            record = ReplicaDocument(
                pool=at.pool.id,
                volume=at.name,
                peer=call.peer.name,
                fingerprint=call.peer.fingerprint,
                source=query.source,
                vm_id=query.vm_id,
                replication=query.replication,
            )
        if query.is_rest and record.incoming != query.guid:
            raise Conflict(f"replica {_key(at)} does not wait for the rest of {query.snapshot}")
        record = msgspec.structs.replace(
            record, incoming=query.guid, received=_received(record, None), peer=call.peer.name, is_live=True
        )
        await self.records.put(record)
        await streams.receive(at, query.snapshot, call.content())
        await streams.mark(at, marks_of(record))
        received = (*(guid for guid in record.received if guid != query.guid), query.guid)
        await self.records.put(msgspec.structs.replace(record, incoming=None, received=received))
        await self.records.tell_volume(at.pool.id, at.name)

    async def _settle(
        self, streams: ReceiveDriver, at: VolumeAt, record: ReplicaDocument, snapshot: str, kept: frozenset[str]
    ) -> None:
        points = (await streams.points(at)).snapshots
        last = next((point for point in points if point.name == snapshot), None)
        if last is None:
            raise Conflict(f"replica {_key(at)} has no snapshot {snapshot}, so the set is not whole")
        ours = {*record.received, last.guid}
        old = [p for p in points if p.guid in ours and p.guid not in kept and p != last]
        whole = msgspec.structs.replace(
            record,
            received=tuple(p.guid for p in points if p.guid in ours),
            last=last.guid,
            snapshot=snapshot,
            received_at=self._clock.now(),
            incoming=None,
        )
        await self.records.put(whole)
        await streams.mark(at, marks_of(whole))
        await streams.destroy(at, snapshots=[point.name for point in old])

    async def _leave(self, record: ReplicaDocument) -> None:
        """To the operators here, as it last was whole. One that never was goes: no pool lists it, so nobody could delete it."""
        try:
            async with self._pools.using(record.pool) as pool:
                streams, at = self._driver(pool), VolumeAt(pool.document, record.volume)
                await streams.abandon(at)
                is_there = await _is_there(streams, at)
                if is_there:
                    await streams.mark(at, marks_of(record))
        except NotFound:
            is_there = False
        if is_there:
            await self.records.put(msgspec.structs.replace(record, incoming=None, is_live=False))
        else:
            await self.records.forget(record)
        await self.records.tell_volume(record.pool, record.volume)

    async def _delete(self, record: ReplicaDocument) -> None:
        try:
            async with self._pools.using(record.pool) as pool:
                streams, at = self._driver(pool), VolumeAt(pool.document, record.volume)
                await streams.abandon(at)
                if await _is_there(streams, at):
                    await streams.mark(at, marks_of(record))
                    await pool.driver.delete_volume(pool.document, record.volume)
        except NotFound:
            log.info("replica %s/%s went with its pool", record.pool, record.volume)
        await self.records.forget(record)
        await self.records.tell_volume(record.pool, record.volume)

    def _driver(self, pool: OpenPool) -> ReceiveDriver:
        if self._streams is None or pool.document.storage_type is not PoolType.ZFS:
            kind = pool.document.storage_type
            raise Conflict(f"pool {pool.document.id} is of type {kind}; replicas need a pool of type zfs")
        return self._streams

    def _check_ours(
        self,
        call: "PeerCall[LookOrder] | PeerCall[StreamQuery] | PeerCall[PrepareOrder] | PeerCall[SettleOrder]",
        at: VolumeAt,
        replication: str,
    ) -> ReplicaDocument | None:
        """The record of the volume; None when there is none. AlreadyExists when it is a replica of something else."""
        record = self.records.find(at.pool.id, at.name)
        if record is None or (record.fingerprint, record.replication) == (call.peer.fingerprint, replication):
            return record
        words = f"volume {_key(at)} is a replica of {record.source} (replication {record.replication} of peer {record.peer})"
        raise AlreadyExists(f"{words}; take another pool, or delete it here", pool=at.pool.id, volume=at.name)

    async def _cut(self, key: str) -> None:
        """No stream comes into that volume; what came stays to be resumed."""
        task = self._receiving.get(key)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


async def _replica(streams: ReceiveDriver, at: VolumeAt, record: ReplicaDocument | None) -> Replica:
    if record is None:
        await _check_free(streams, at)
        return Replica()
    if not await _is_there(streams, at):
        return Replica()
    token = await streams.resume_token(at)
    return Replica(
        exists=True,
        points=await streams.points(at),
        token=token,
        incoming=record.incoming if token is not None else None,
        received=_received(record, token),
        last=record.last,
        written_bytes=0 if token is not None else await streams.written_bytes(at),
    )


def _received(record: ReplicaDocument, token: str | None) -> tuple[str, ...]:
    """With what came whole, though we were cut off before we wrote that down."""
    came = (record.incoming,) if record.incoming is not None and token is None else ()
    return (*record.received, *came)


async def _is_there(streams: ReceiveDriver, at: VolumeAt) -> bool:
    try:
        await streams.points(at)
    except NotFound:
        return False
    return True


async def _check_free(streams: ReceiveDriver, at: VolumeAt) -> None:
    if await _is_there(streams, at):
        words = f"pool {at.pool.id} has a volume {at.name} already, which is no replica"
        raise AlreadyExists(f"{words}; take another pool, or delete it there", pool=at.pool.id, volume=at.name)


def _key(at: VolumeAt) -> str:
    return f"{at.pool.id}/{at.name}"
