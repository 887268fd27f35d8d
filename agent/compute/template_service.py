"""Templates and clones for the API. Every change is a task.

A template's lock is held by who makes or deletes it, not by clones: they may be made side by side, and are told apart from a
deletion by the store (`template_life.py`). The VM that a template or a clone is made of is locked until that is done.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from agent.asked import Asked
from agent.compute.ports import TemplateDisks
from agent.compute.service import VmService
from agent.compute.template_firmware import FirmwareVariables
from agent.compute.template_life import TemplateLife
from agent.compute.template_registry import TemplateRegistry
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute import template as rules
from horcrux.compute.lifecycle import Verb, admit
from horcrux.compute.order import Problems, check_words
from horcrux.compute.settled import check_settled
from horcrux.compute.template import TemplateDisk, TemplateDocument
from horcrux.compute.template_bodies import CloneTemplate, CloneType, CloneVm, NewTemplate
from horcrux.compute.template_clone import plan_clone, target_pools
from horcrux.compute.vm import Firmware, Phase, VmDocument
from horcrux.errors import AlreadyExists, Conflict
from horcrux.ids import NodeId, VmId, check_name
from horcrux.if_match import check_match
from horcrux.storage.volume import volume_lock
from horcrux.store import Collection, Compare, Document
from horcrux.tasks import Task, as_result


class TemplateService:
    def __init__(
        self,
        templates: Collection[TemplateDocument],
        vms: Collection[VmDocument],
        registry: TemplateRegistry,
        vm_service: VmService,
        life: TemplateLife,
        firmware: FirmwareVariables,
        disks: TemplateDisks,
        tasks: TaskSubmitter,
        *,
        node: NodeId,
    ) -> None:
        self._templates = templates
        self._vms = vms
        self.registry = registry
        self._vm_service = vm_service
        self._life = life
        self._firmware = firmware
        self._disks = disks
        self._tasks = tasks
        self._node = node

    async def create(self, order: NewTemplate, asked: Asked) -> Task:
        """A task whose result is the new template."""
        vm = self._source(order.vm_id, asked)
        id_ = rules.template_id(vm.id, order.id)
        problems = Problems()
        check_words(problems, order.name, None, None, (), order.notes)
        problems.raise_if_any()
        if id_ in self.registry:
            raise AlreadyExists(f"template {id_} exists already", kind="template", id=id_)
        if not order.keep_vm:
            _check_no_snapshots(vm)
        plan = await self._described(id_, vm, asked, order)

        async def body(run: TaskRun) -> int:
            await self._vm_service.admit_now(vm.id, Verb.CLONE)
            was = await self._vms.get(vm.id)
            document = await self._described(id_, was.value, asked, order)
            if _volume_locks(document.disks) != _volume_locks(plan.disks):
                raise Conflict(f"the disks of VM {vm.id} have changed meanwhile; try again", vm=vm.id)
            if order.keep_vm:
                return await self._life.copy(run, document, await self._sources(was.value))
            _check_no_snapshots(was.value)
            return await self._life.turn(run, document, was)

        locks = {f"vm/{vm.id}", *_volume_locks(plan.disks), *_volume_locks(await self._sources(vm))}
        return await self._submit("template.create", id_, asked, body, locks)

    async def delete(self, id_: str, if_match: int | None, asked: Asked) -> Task:
        """A task. InUse, naming them, while linked clones stand on it or VMs are being made from it."""
        known = self.registry.find(id_)
        await self._check_match(known, if_match)
        if not asked.wait_s and known.value.phase is Phase.READY:
            await self._life.check_unused(known.value)

        async def body(run: TaskRun) -> None:
            was = await self._templates.get(id_)
            if was.value.phase is Phase.READY:
                await self._check_match(was, if_match)
            await self._life.delete(run, id_)

        locks = _volume_locks(known.value.disks)
        if known.value.phase is Phase.CREATING:
            locks |= {f"vm/{known.value.source_vm}"}
        return await self._submit("template.delete", id_, asked, body, locks)

    async def clone(self, id_: str, order: CloneTemplate, asked: Asked) -> Task:
        """A task whose result is the new VM. HostLacks for a linked clone in a pool that makes none."""
        template = self._usable(self.registry.find(id_)).value
        if order.clone_type is CloneType.LINKED:
            for disk in template.disks:
                self._disks.check_can_link(disk.storage_pool)
        origin = FromTemplate(self, self._firmware, template)
        return await self._clone("template.clone", template, order, asked, origin)

    async def clone_vm(self, vm_id: str, order: CloneVm, asked: Asked) -> Task:
        """A task whose result is a new VM with copies of the disks of `vm_id`, which is stopped."""
        vm = self._source(vm_id, asked)
        described = self._document("", vm, await self._sources(vm), asked, NewTemplate(vm_id=vm_id))
        wanted = CloneTemplate(
            new_vm_id=order.new_vm_id,
            clone_type=CloneType.FULL,
            name=order.name,
            storage_pool=order.storage_pool,
            start=order.start,
        )

        async def check_as_described() -> None:
            was = (await self._vms.get(vm.id)).value
            check_settled(was)
            if (was.uuid, was.spec) != (vm.uuid, vm.spec) or await self._sources(was) != described.disks:
                raise Conflict(f"VM {vm.id} has changed meanwhile; try again", vm=vm.id)

        origin = FromVm(self._vm_service, self._firmware, vm.id, check_as_described)
        locks = {f"vm/{vm.id}", *_volume_locks(described.disks)}
        return await self._clone("vm.clone", described, wanted, asked, origin, locks)

    async def still_usable(self, id_: str, uuid: str) -> Document[TemplateDocument]:
        """As the store has it now. NotFound; Conflict when it is not, or no longer, to be cloned."""
        found = await self._templates.get(id_)
        if found.value.uuid != uuid:
            raise Conflict(f"template {id_} is another one by now; try again", template=id_)
        return self._usable(found)

    async def _clone(
        self,
        action: str,
        source: TemplateDocument,
        order: CloneTemplate,
        asked: Asked,
        origin: "FromTemplate | FromVm",
        locks: AbstractSet[str] = frozenset(),
    ) -> Task:
        vm_id = VmId(check_name(order.new_vm_id, "new_vm_id"))
        self._vm_service.check_new(vm_id)
        pools = target_pools(source, order, self._disks.volume_pools())
        names = await self._vm_service.volume_names(vm_id, pools)
        places = list(zip(pools, names, strict=True))
        spec, disks = plan_clone(source, order, vm_id, places, self._vm_service.new_mac)
        tags = source.tags if order.tags is None else order.tags
        document = self._vm_service.new_clone(vm_id, spec, tags, source.id or None)
        return await self._vm_service.bear(
            action, document, disks, asked, start=order.start, origin=origin, locks=sorted(locks)
        )

    def _source(self, vm_id: str, asked: Asked) -> VmDocument:
        """The VM, when it may be copied. NotFound, Conflict."""
        known = self._vm_service.registry.find(vm_id).document.value
        if known.owner != self._node:
            raise Conflict(f"VM {vm_id} belongs to node {known.owner}", node=known.owner)
        if not asked.wait_s:
            admit(self._vm_service.registry.state_of(vm_id), Verb.CLONE, vm_id)
        return known

    def _usable(self, found: Document[TemplateDocument]) -> Document[TemplateDocument]:
        """Conflict unless it is whole, and of this node."""
        template = found.value
        if template.phase is not Phase.READY:
            words = "is being made" if template.phase is Phase.CREATING else "is being deleted"
            raise Conflict(f"template {template.id} {words}", template=template.id, state=str(template.phase))
        if template.node != self._node:
            raise Conflict(f"template {template.id} belongs to node {template.node}", node=template.node)
        return found

    async def _sources(self, vm: VmDocument) -> tuple[TemplateDisk, ...]:
        """The VM's disks as something to begin from. NotFound when a volume is missing."""
        return tuple(
            [
                rules.disk_as_it_is(disk, await self._disks.find_disk(disk.storage_pool, disk.volume))
                for disk in vm.spec.disks
            ]
        )

    async def _described(self, id_: str, vm: VmDocument, asked: Asked, order: NewTemplate) -> TemplateDocument:
        """The template to be: its volumes have names of their own, and those that they have on the way to them."""
        check_settled(vm)
        disks = []
        for disk in await self._sources(vm):
            can_link = self._disks.can_link(disk.storage_pool)
            if not order.keep_vm:
                base = await self._free_name(disk, id_) if can_link else disk.volume
                disks.append(msgspec.structs.replace(disk, volume=base, made_of=disk.volume if can_link else None))
                continue
            base = await self._free_name(disk, id_)
            made_of = f"{base}.new" if can_link else None
            disks.append(msgspec.structs.replace(disk, volume=base, made_of=made_of, base=None))
        return self._document(id_, vm, disks, asked, order)

    def _document(
        self, id_: str, vm: VmDocument, disks: Sequence[TemplateDisk], asked: Asked, order: NewTemplate
    ) -> TemplateDocument:
        own_uuid, now = self._vm_service.stamp()
        return TemplateDocument(
            id=id_,
            uuid=own_uuid,
            name=order.name or vm.spec.name,
            source_vm=vm.id,
            node=self._node,
            user=asked.principal.user,
            phase=Phase.CREATING,
            spec=rules.general_spec(vm.spec),
            nics=rules.general_nics(vm.spec.nics),
            disks=tuple(disks),
            tags=vm.tags,
            notes=order.notes,
            created_at=now,
        )

    async def _free_name(self, disk: TemplateDisk, template: str) -> str:
        """`base-<n>-<disk>`, with a number behind where the pool has a volume of that name."""
        name, n = rules.base_name(template, disk.name), 1
        while await self._disks.has_volume(disk.storage_pool, name):
            n += 1
            name = f"{rules.base_name(template, disk.name)}-{n}"
        return name

    async def _submit(
        self,
        action: str,
        id_: str,
        asked: Asked,
        body: Callable[[TaskRun], Awaitable[int | None]],
        locks: AbstractSet[str],
    ) -> Task:
        """The result of the task is the template as it is then (as of the revision that `body` returns), None when it is gone."""

        async def told(run: TaskRun) -> Mapping[str, object] | None:
            revision = await body(run)
            await self.registry.caught_up(id_, revision)
            return None if revision is None else as_result(self.registry.view(id_, ending=run.task.id))

        return await self._tasks.submit(asked.order(action, f"template/{id_}", f"template/{id_}", *locks), told)

    async def _check_match(self, known: Document[TemplateDocument], if_match: int | None) -> None:
        id_ = known.value.id
        await check_match(f"template {id_}", known, if_match, lambda: self.registry.view(id_))


class FromTemplate:
    """A clone rests on its template being there and `ready`, as of the moment when the clone's document comes."""

    def __init__(self, service: TemplateService, firmware: FirmwareVariables, template: TemplateDocument) -> None:
        self._service = service
        self._firmware = firmware
        self._template = template

    async def rests_on(self) -> Sequence[Compare]:
        found = await self._service.still_usable(self._template.id, self._template.uuid)
        return (Compare(found.key, "mod", found.revision),)

    async def furnish(self, vm_id: VmId) -> None:
        if self._template.spec.firmware is Firmware.UEFI:
            await self._firmware.give(self._template.id, vm_id)


class FromVm:
    """A copy of a VM rests on that VM, whose lock is held, being stopped, and as it was when the copy was planned."""

    def __init__(
        self, vms: VmService, firmware: FirmwareVariables, source: VmId, check_as_planned: Callable[[], Awaitable[None]]
    ) -> None:
        self._vms = vms
        self._firmware = firmware
        self._source = source
        self._check_as_planned = check_as_planned

    async def rests_on(self) -> Sequence[Compare]:
        await self._vms.admit_now(self._source, Verb.CLONE)
        await self._check_as_planned()
        return ()

    async def furnish(self, vm_id: VmId) -> None:
        await self._firmware.give_to(self._source, vm_id)


def _check_no_snapshots(vm: VmDocument) -> None:
    if vm.snapshots:
        names = [snapshot.name for snapshot in vm.snapshots]
        words = f"VM {vm.id} has snapshots: {', '.join(names)}; delete them first, or keep the VM and make a copy"
        raise Conflict(words, vm=vm.id, snapshots=names)


def _volume_locks(disks: Sequence[TemplateDisk]) -> AbstractSet[str]:
    names = {(d.storage_pool, name) for d in disks for name in (d.volume, d.made_of) if name is not None}
    return {volume_lock(pool, name) for pool, name in names}
