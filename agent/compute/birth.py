"""How a VM comes and goes, so that a crash at any step leaves a whole VM or none.

    create:  reserve (document `creating`, with the names of its volumes) -> volumes -> define -> document `ready`
             cut off before `ready`: everything the document names is removed, then the document
    delete:  document `deleting` -> stop (forced only) -> undefine -> volumes -> seed -> document gone
             cut off after `deleting`: the same steps again, to the end

The document's phase is the one point of commitment: `ready` is never undone, `deleting` never goes back.
"""

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from agent.compute.definer import Definer
from agent.compute.driver import Hypervisor
from agent.compute.ports import Disks
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.clock import Clock
from horcrux.compute.order import PlannedDisk
from horcrux.compute.vm import Phase, VmDocument, VmSpec
from horcrux.errors import AlreadyExists, Conflict, NotFound
from horcrux.ids import Entropy, NodeId, VmId
from horcrux.store import Collection

log = logging.getLogger(__name__)


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
        node: NodeId,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._vms = vms
        self._hypervisor = hypervisor
        self._disks = disks
        self._definer = definer
        self._node = node
        self._clock = clock
        self._entropy = entropy
        tasks.recovery("vm.uncreate", self._uncreate)
        tasks.recovery("vm.finish_delete", self._finish_delete)

    def new_document(
        self, vm_id: VmId, spec: VmSpec, tags: tuple[str, ...], notes: str, *, autostart: bool
    ) -> VmDocument:
        """A document to be created, with a UUID of its own."""
        return VmDocument(
            id=vm_id,
            uuid=str(uuid.UUID(bytes=self._entropy(16), version=4)),
            owner=self._node,
            phase=Phase.CREATING,
            spec=spec,
            tags=tags,
            notes=notes,
            autostart=autostart,
            created_at=self._clock.now(),
        )

    async def create(self, run: TaskRun, document: VmDocument, disks: tuple[PlannedDisk, ...]) -> VmDocument:
        """The VM is whole and `ready`."""
        for planned in disks:
            if await self._disks.has_volume(planned.disk.storage_pool, planned.disk.volume):
                raise AlreadyExists(
                    f"pool {planned.disk.storage_pool} has a volume {planned.disk.volume} already", kind="volume"
                )
        await run.undo("vm.uncreate", id=document.id, uuid=document.uuid)
        document = msgspec.structs.replace(document, operation=run.task.id)
        await run.stage("reserving its id", 0.02)
        await self._vms.create(document.id, document)
        document = await self._make_disks(run, document, disks)
        await run.stage("defining it", 0.95)
        await self._definer.define(document)
        was = await self._vms.get(document.id)
        ready = msgspec.structs.replace(document, phase=Phase.READY, operation=None)
        await run.stage("making it ready", 0.98)
        await self._vms.replace(document.id, was, ready)
        await run.commit()
        return ready

    async def _make_disks(self, run: TaskRun, document: VmDocument, disks: tuple[PlannedDisk, ...]) -> VmDocument:
        """The document with its disks as they came out (format)."""
        made = []
        for i, planned in enumerate(disks):
            disk = planned.disk
            begun = f" from image {planned.image}" if planned.image else ""
            await run.stage(f"making {disk.name}{begun}")
            volume = await self._disks.create_disk(
                disk.storage_pool, disk.volume, planned.size_bytes, planned.image, _part(run.progress, i, len(disks))
            )
            made.append(msgspec.structs.replace(disk, format=volume.format))
        return msgspec.structs.replace(document, spec=msgspec.structs.replace(document.spec, disks=tuple(made)))

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

    async def _remove(self, document: VmDocument, stage: Callable[[str], Awaitable[None]] | None = None) -> None:
        """Definition, volumes, seed and, last, the document; each step is told to `stage`. Idempotent."""
        stage = stage or _untold
        await stage("removing its definition")
        await self._hypervisor.undefine(document.id)
        for disk in document.spec.disks:
            await stage(f"removing {disk.name}")
            await self._disks.delete_disk(disk.storage_pool, disk.volume)
        await stage("removing the rest")
        await self._disks.delete_seed(document.id)
        await self._vms.delete(document.id)


async def _untold(_stage: str) -> None:
    """For an undo, which has no task of its own to tell."""


def _part(progress: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    """Progress of one disk as its share of the whole, which lies between 0.05 and 0.9."""
    return lambda fraction: progress(0.05 + 0.85 * (index + fraction) / count)
