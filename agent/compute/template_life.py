"""How a template comes and goes, so that a crash at any step leaves a whole template or none, and never a clone without base.

    copy:    reserve (document `creating`, with the names of its volumes) -> volumes copied, made bases -> document `ready`
             cut off before `ready`: everything the document names is removed, then the document
    turn:    the VM's document goes as the template's (`creating`) comes, in one transaction: the point of commitment
             -> VM undefined -> volumes made bases -> document `ready`; cut off on the way: the same steps again
    delete:  nothing stands on it -> document `deleting` -> nothing stands on it still -> volumes -> document gone
             cut off after `deleting`: from the second look on again

A clone's VM document names its base, and comes only while the template's document is as it was read (`Origin.rests_on`). So
one that came before the mark `deleting` is seen by the second look, which takes the mark away again; after the mark none comes.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from agent.compute.birth import part_of
from agent.compute.driver import Hypervisor
from agent.compute.ports import TemplateDisks
from agent.compute.telling import Stage, untold
from agent.compute.template_firmware import FirmwareVariables
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute.template import TemplateDisk, TemplateDocument, standing_on
from horcrux.compute.vm import Phase, VmDocument
from horcrux.errors import InUse, NotFound
from horcrux.ids import PoolId
from horcrux.storage.refusals import volume_taken
from horcrux.store import Collection, Compare, Delete, Document

log = logging.getLogger(__name__)


class TemplateLife:
    """Bodies of the template tasks, and their recoveries. The locks of template, VM and volumes are held by the task."""

    def __init__(
        self,
        templates: Collection[TemplateDocument],
        vms: Collection[VmDocument],
        disks: TemplateDisks,
        hypervisor: Hypervisor,
        firmware: FirmwareVariables,
        tasks: TaskSubmitter,
    ) -> None:
        self._templates = templates
        self._vms = vms
        self._disks = disks
        self._hypervisor = hypervisor
        self._firmware = firmware
        tasks.recovery("template.uncreate", self._uncreate)
        tasks.recovery("template.finish_turn", self._finish_turn)
        tasks.recovery("template.finish_delete", self._finish_delete)

    async def copy(self, run: TaskRun, document: TemplateDocument, sources: Sequence[TemplateDisk]) -> int:
        """The template is whole and `ready`, with copies of `sources`, one for each of its disks. Its revision."""
        await self._check_free((d.storage_pool, name) for d in document.disks for name in (d.volume, d.made_of))
        await run.undo("template.uncreate", id=document.id, uuid=document.uuid)
        document = replace(document, operation=run.task.id)
        await run.stage("reserving its id", 0.02)
        await self._templates.create(document.id, document)
        wanted = [(disk.storage_pool, disk.made_of or disk.volume, disk.size_bytes) for disk in document.disks]
        await self._disks.reserve(document.user, wanted)
        disks = []
        for i, (source, disk) in enumerate(zip(sources, document.disks, strict=True)):
            await run.stage(f"copying {disk.name}")
            progress = part_of(run.progress, i, len(document.disks))
            origin, name = (source.storage_pool, source.volume), disk.made_of or disk.volume
            await self._disks.copy_disk(origin, disk.storage_pool, name, progress)
            disks.append(await self._made_base(disk, run.stage))
        await self._firmware.keep(document.source_vm, document.id)
        await run.stage("making it ready", 0.95)
        revision = await self._make_ready(document, disks)
        await run.commit()
        return revision

    async def turn(self, run: TaskRun, document: TemplateDocument, vm: Document[VmDocument]) -> int:
        """The VM, as it was read, is the template. Its revision."""
        await self._check_free((d.storage_pool, d.volume) for d in document.disks if d.made_of is not None)
        await run.undo("template.finish_turn", id=document.id, uuid=document.uuid)
        document = replace(document, operation=run.task.id)
        await run.stage("taking the place of the VM: from here on it goes to the end", 0.1)
        is_as_read = Compare(vm.key, "mod", vm.revision)
        await self._templates.create(document.id, document, also=[Delete(vm.key)], when=[is_as_read])
        revision = await self._end_turn(document, run.stage)
        await run.commit()
        return revision

    async def delete(self, run: TaskRun, id_: str) -> None:
        """Template and volumes are gone. InUse, naming them, while linked clones stand on it or VMs are being made from it."""
        was = await self._templates.get(id_)
        await run.undo("template.finish_delete", id=id_, uuid=was.value.uuid, before=was.value.phase)
        if was.value.phase is Phase.CREATING:
            await self._remove_definition(was.value, run.stage)
        if was.value.phase is not Phase.DELETING:
            await self.check_unused(was.value)
            await run.stage("marking it: from here on it goes to the end", 0.1)
            doomed = replace(was.value, phase=Phase.DELETING, operation=run.task.id)
            await self._templates.replace(id_, was, doomed)
        marked = await self._templates.get(id_)
        await self._check_still_unused(marked, was.value.phase)
        await self._remove(marked.value, run.stage)
        await run.commit()

    async def check_unused(self, template: TemplateDocument) -> None:
        """As the store has it now. InUse with the ids of what stands on it, `used_by`."""
        vms = [document.value for document in await self._vms.list()]
        templates = [document.value for document in await self._templates.list()]
        users = {**await self._volumes_on(template), **standing_on(template, vms, templates)}
        if users:
            told = ", ".join(f"{id_} ({why})" for id_, why in users.items())
            words = f"template {template.id} is in use by {told}; delete these first, or move their disks elsewhere"
            raise InUse(words, used_by=list(users))

    async def _volumes_on(self, template: TemplateDocument) -> Mapping[str, str]:
        """What stands on its volumes, by id; volumes that nobody has too."""
        found: dict[str, str] = {}
        for disk in template.disks:
            for name in await self._disks.clones_on(disk.storage_pool, disk.volume):
                use = self._disks.use_of(disk.storage_pool, name)
                id_ = f"{disk.storage_pool}/{name}" if use is None else use.vm_id or use.template
                found[str(id_)] = "linked volume"
        return found

    async def _check_free(self, names: Iterable[tuple[PoolId, str | None]]) -> None:
        for pool, name in names:
            if name is not None and await self._disks.has_volume(pool, name):
                raise volume_taken(pool, name)

    async def _made_base(self, disk: TemplateDisk, stage: Stage) -> TemplateDisk:
        """The disk as it is once its volume has become a base. Idempotent."""
        if disk.made_of is not None:
            await stage(f"keeping {disk.name} from change")
            await self._disks.make_base(disk.storage_pool, disk.made_of, disk.volume)
        volume = await self._disks.find_disk(disk.storage_pool, disk.volume)
        return replace(disk, made_of=None, format=volume.format, size_bytes=volume.capacity_bytes)

    async def _make_ready(self, document: TemplateDocument, disks: Sequence[TemplateDisk]) -> int:
        was = await self._templates.get(document.id)
        ready = replace(document, phase=Phase.READY, operation=None, disks=tuple(disks))
        return await self._templates.replace(document.id, was, ready)

    async def _end_turn(self, document: TemplateDocument, stage: Stage) -> int:
        """From the point of commitment to the end."""
        await self._remove_definition(document, stage)
        disks = [await self._made_base(disk, stage) for disk in document.disks]
        await stage("making it ready")
        return await self._make_ready(document, disks)

    async def _remove_definition(self, document: TemplateDocument, stage: Stage) -> None:
        """Nothing is left of the VM that the template was turned from but its volumes, unless its name is another
        machine's by now."""
        if await self._vms.find(document.source_vm) is None:
            await stage("removing the VM's definition")
            await self._firmware.keep(document.source_vm, document.id)
            await self._hypervisor.undefine(document.source_vm)
            await self._disks.delete_seed(document.source_vm)

    async def _check_still_unused(self, marked: Document[TemplateDocument], before: Phase) -> None:
        """What came to stand on it just before the mark takes the mark away again: InUse."""
        template = marked.value
        try:
            await self.check_unused(template)
        except InUse:
            await self._templates.replace(template.id, marked, replace(template, phase=before, operation=None))
            raise

    async def _remove(self, template: TemplateDocument, stage: Stage) -> None:
        """Volumes, variables and, last, the document; each step is told to `stage`. Idempotent."""
        for disk in template.disks:
            await stage(f"removing {disk.name}")
            for name in (disk.volume, disk.made_of):
                if name is not None:
                    await self._disks.delete_disk(disk.storage_pool, name)
        await stage("removing the rest")
        await self._firmware.drop(template.id)
        await self._templates.delete(template.id)

    async def _uncreate(self, args: Mapping[str, str]) -> None:
        template = await self._of_uuid(args)
        if template is not None and template.value.phase is Phase.CREATING:
            await self._remove(template.value, untold)

    async def _finish_turn(self, args: Mapping[str, str]) -> None:
        template = await self._of_uuid(args)
        if template is not None and template.value.phase is Phase.CREATING:
            await self._end_turn(template.value, untold)

    async def _finish_delete(self, args: Mapping[str, str]) -> None:
        template = await self._of_uuid(args)
        if template is None or template.value.phase is not Phase.DELETING:
            return
        before = Phase(args.get("before", Phase.READY))
        if before is Phase.READY and not await self._is_whole(template.value):
            before = Phase.DELETING  # what is gone does not come back: it is tried again
        try:
            await self._check_still_unused(template, before)
        except InUse as err:
            if before is Phase.DELETING:
                raise
            log.info("the deletion of template %s was taken back: %s", template.value.id, err)
            return
        await self._remove(template.value, untold)

    async def _is_whole(self, template: TemplateDocument) -> bool:
        """None of its volumes has been removed."""
        try:
            for disk in template.disks:
                await self._disks.find_disk(disk.storage_pool, disk.volume)
        except NotFound:
            return False
        return True

    async def _of_uuid(self, args: Mapping[str, str]) -> Document[TemplateDocument] | None:
        """The document, unless its name belongs to another template by now."""
        found = await self._templates.find(args["id"])
        return found if found is not None and found.value.uuid == args["uuid"] else None
