"""How a VM comes and goes, so that a crash at any step leaves a whole VM or none.

    create:  reserve (document `creating`, with the names of its volumes) -> volumes -> define -> document `ready`
             cut off before `ready`: everything the document names is removed, then the document
             a clone's document comes only if its template stands as it was read, in one transaction
    delete:  document `deleting` -> stop (forced only) -> undefine -> volumes -> seed -> document gone
             cut off after `deleting`: the same steps again, to the end

The document's phase is the one point of commitment: `ready` is never undone, `deleting` never goes back.
"""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from agent.compute.definer import Definer
from agent.compute.driver import Hypervisor
from agent.compute.ports import Disks
from agent.compute.snapshot_files import SnapshotFiles
from agent.compute.telling import Stage, untold
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.clock import Clock
from horcrux.compute.order import PlannedDisk
from horcrux.compute.vm import Phase, VmDocument, VmSpec
from horcrux.errors import Conflict, NotFound, Stale
from horcrux.ids import Entropy, NodeId, PoolId, VmId
from horcrux.storage.refusals import volume_taken
from horcrux.storage.volume import Volume
from horcrux.store import Collection, Compare

log = logging.getLogger(__name__)


class Origin(Protocol):
    """What a new VM is made from, beside images."""

    async def rests_on(self) -> Sequence[Compare]:
        """What must still be so at the moment when the VM's document comes; the error that says why it is not."""
        ...

    async def furnish(self, vm_id: VmId) -> None:
        """What the VM gets beside its disks is there; `undefine` takes it away again."""
        ...


class Nothing:
    """The origin of a VM that is made from scratch."""

    async def rests_on(self) -> Sequence[Compare]:
        return ()

    async def furnish(self, vm_id: VmId) -> None:
        return None


FROM_SCRATCH = Nothing()


class VmBirth:
    """Bodies of `vm.create` and `vm.delete`, and their recoveries. The VM's lock is held by the task."""

    def __init__(
        self,
        vms: Collection[VmDocument],
        hypervisor: Hypervisor,
        disks: Disks,
        definer: Definer,
        tasks: TaskSubmitter,
        *,
        snapshot_files: SnapshotFiles,
        node: NodeId,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._vms = vms
        self._hypervisor = hypervisor
        self._disks = disks
        self._definer = definer
        self._snapshot_files = snapshot_files
        self._node = node
        self._clock = clock
        self._entropy = entropy
        tasks.recovery("vm.uncreate", self._uncreate)
        tasks.recovery("vm.finish_delete", self._finish_delete)

    def stamp(self) -> tuple[str, float]:
        """A UUID that nobody has, and the time."""
        return str(uuid.UUID(bytes=self._entropy(16), version=4)), self._clock.now()

    def new_document(
        self, vm_id: VmId, spec: VmSpec, tags: tuple[str, ...], notes: str, *, autostart: bool
    ) -> VmDocument:
        """A document to be created, with a UUID of its own."""
        own_uuid, now = self.stamp()
        return VmDocument(
            id=vm_id,
            uuid=own_uuid,
            owner=self._node,
            phase=Phase.CREATING,
            spec=spec,
            tags=tags,
            notes=notes,
            autostart=autostart,
            created_at=now,
        )

    async def create(
        self, run: TaskRun, document: VmDocument, disks: tuple[PlannedDisk, ...], origin: Origin = FROM_SCRATCH
    ) -> VmDocument:
        """The VM is whole and `ready`."""
        for planned in disks:
            place = planned.disk.storage_pool, planned.disk.volume
            if await self._disks.has_volume(*place):
                raise volume_taken(*place)
        await run.undo("vm.uncreate", id=document.id, uuid=document.uuid)
        document = msgspec.structs.replace(document, operation=run.task.id)
        await run.stage("reserving its id", 0.02)
        await self._reserve(document, origin)
        document = await self._make_disks(run, document, disks)
        await origin.furnish(document.id)
        await run.stage("defining it", 0.95)
        await self._definer.define(document)
        was = await self._vms.get(document.id)
        ready = msgspec.structs.replace(document, phase=Phase.READY, operation=None)
        await run.stage("making it ready", 0.98)
        await self._vms.replace(document.id, was, ready)
        await run.commit()
        return ready

    async def _reserve(self, document: VmDocument, origin: Origin) -> None:
        while True:
            try:
                await self._vms.create(document.id, document, when=await origin.rests_on())
            except Stale:
                log.debug("VM %s: what it is made from has changed; looking at it again", document.id)
            else:
                return

    async def _make_disks(self, run: TaskRun, document: VmDocument, disks: tuple[PlannedDisk, ...]) -> VmDocument:
        """The document with its disks as they came out (format)."""
        wanted = [(planned.disk.storage_pool, planned.disk.volume, planned.size_bytes) for planned in disks]
        await self._disks.reserve(document.user, wanted)
        made = []
        for i, planned in enumerate(disks):
            await run.stage(f"making {planned.disk.name}{_begun(planned)}")
            volume = await self._make_disk(planned, part_of(run.progress, i, len(disks)))
            made.append(msgspec.structs.replace(planned.disk, format=volume.format))
        return msgspec.structs.replace(document, spec=msgspec.structs.replace(document.spec, disks=tuple(made)))

    async def _make_disk(self, planned: PlannedDisk, progress: Callable[[float], None]) -> Volume:
        disk, source = planned.disk, planned.copy_of
        if disk.base is not None:
            return await self._disks.link_disk(disk.storage_pool, disk.base, disk.volume)
        if source is not None:
            return await self._disks.copy_disk((source.pool, source.name), disk.storage_pool, disk.volume, progress)
        return await self._disks.create_disk(
            disk.storage_pool, disk.volume, planned.size_bytes, planned.image, progress
        )

    async def delete(self, run: TaskRun, vm_id: VmId, *, force: bool) -> None:
        """The VM, its volumes and its seed are gone. The caller has seen that it may be deleted now."""
        was = await self._vms.get(vm_id)
        await run.undo("vm.finish_delete", id=vm_id, uuid=was.value.uuid)
        if was.value.phase is not Phase.DELETING:
            await run.stage("marking it: from here on it goes to the end", 0.05)
            doomed = msgspec.structs.replace(was.value, phase=Phase.DELETING, operation=run.task.id)
            await self._vms.replace(vm_id, was, doomed)
        if force:
            await run.stage("stopping it", 0.1)
            await self._plug(vm_id)
        await self._remove(was.value, run.stage)
        await run.commit()

    async def _plug(self, vm_id: VmId) -> None:
        try:
            await self._hypervisor.stop(vm_id)
        except (Conflict, NotFound) as err:
            log.debug("VM %s was not running: %s", vm_id, err)

    async def _uncreate(self, args: Mapping[str, str]) -> None:
        document = await self._of_uuid(args)
        if document is not None and document.phase is Phase.CREATING:
            await self._remove(document)

    async def _finish_delete(self, args: Mapping[str, str]) -> None:
        document = await self._of_uuid(args)
        if document is not None and document.phase is Phase.DELETING:
            await self._plug(document.id)
            await self._remove(document)

    async def _of_uuid(self, args: Mapping[str, str]) -> VmDocument | None:
        """The document, unless its name belongs to another machine by now."""
        found = await self._vms.find(args["id"])
        return found.value if found is not None and found.value.uuid == args["uuid"] else None

    async def _remove(self, document: VmDocument, stage: Stage = untold) -> None:
        """Definition, volumes, seed and, last, the document; each step is told to `stage`. Idempotent."""
        await stage("removing its definition")
        await self._hypervisor.undefine(document.id)
        for disk in document.spec.disks:
            await stage(f"removing {disk.name}")
            await self._disks.delete_disk(disk.storage_pool, disk.volume)
        for place in document.moving.values():
            pool, _, volume = place.partition("/")
            await stage(f"removing {volume}, which a disk was being moved to")
            await self._disks.delete_disk(PoolId(pool), volume)
        await stage("removing the rest")
        await self._disks.delete_seed(document.id)
        await self._snapshot_files.remove_all(document.id)
        await self._vms.delete(document.id)


def part_of(progress: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    """Progress of one disk as its share of the whole, which lies between 0.05 and 0.9."""
    return lambda fraction: progress(0.05 + 0.85 * (index + fraction) / count)


def _begun(planned: PlannedDisk) -> str:
    if planned.disk.base is not None:
        return f" as a linked clone of {planned.disk.base}"
    if planned.copy_of is not None:
        return f" as a copy of {planned.copy_of.name}"
    return f" from image {planned.image}" if planned.image else ""
