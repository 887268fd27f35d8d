"""Puts together what a node does with VMs: the VMs themselves, their snapshots, their disks and the templates.

registries (storage asks them who holds a volume) -> storage -> services
"""

from collections.abc import Sequence

import msgspec

from agent.api import disks as disks_api
from agent.api import templates as templates_api
from agent.api.snapshots import SnapshotApi
from agent.api.vms import VmApi
from agent.compute.birth import VmBirth
from agent.compute.definer import Definer
from agent.compute.disk_copy import CopyWatch
from agent.compute.disk_growth import DiskGrowth
from agent.compute.disk_move import DiskMove
from agent.compute.disk_records import DiskRecords
from agent.compute.disk_service import DiskService
from agent.compute.registry import VmRegistry
from agent.compute.service import VmService
from agent.compute.snapshot_birth import SnapshotBirth
from agent.compute.snapshot_disks import SnapshotDisks
from agent.compute.snapshot_files import SnapshotFiles
from agent.compute.snapshot_revert import SnapshotRevert
from agent.compute.snapshot_service import SnapshotService
from agent.compute.snapshot_stillness import Stillness
from agent.compute.template_firmware import FirmwareVariables
from agent.compute.template_life import TemplateLife
from agent.compute.template_registry import TemplateRegistry
from agent.compute.template_service import TemplateService
from agent.console.serial_log import SerialLogs
from agent.ground import Core
from agent.host.surroundings import HostSurroundings
from agent.http.route import AnyRoute
from agent.storage.service import StorageService
from cluster.store.replica import Replica
from horcrux.compute.template import TemplateDocument
from horcrux.compute.vm import VmDocument
from horcrux.store import Collection

REPLICATED = ("/hx/v1/vm/", "/hx/v1/template/")


class Registries(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of VMs and templates, and who knows them by heart."""

    vm_documents: Collection[VmDocument]
    template_documents: Collection[TemplateDocument]
    vms: VmRegistry
    templates: TemplateRegistry


class VmParts(msgspec.Struct, frozen=True, kw_only=True):
    vms: VmService
    snapshots: SnapshotService
    disks: DiskService
    templates: TemplateService
    still: Stillness

    def routes(self, logs: SerialLogs) -> Sequence[AnyRoute]:
        return (
            *VmApi(self.vms, logs).routes(),
            *SnapshotApi(self.snapshots).routes(),
            *disks_api.routes(self.disks),
            *templates_api.routes(self.templates),
        )


async def open_registries(core: Core) -> Registries:
    """Both are filled from the replica, and follow it."""
    ground, tasks = core.ground, core.tasks
    vm_documents = Collection(core.store, "vm", VmDocument)
    template_documents = Collection(core.store, "template", TemplateDocument)
    vms = VmRegistry(
        vm_documents,
        core.drivers.hypervisor,
        core.events,
        ground.clock,
        node_name=ground.state.name,
        task_of=tasks.running_on,
        on_found=tasks.recoveries.nudge,
    )
    templates = TemplateRegistry(
        template_documents,
        vms,
        core.events,
        node=ground.state.node_id,
        node_name=ground.state.name,
        task_of=tasks.running_on,
    )
    replica = await ground.undo.enter_async_context(Replica(core.store, REPLICATED, clock=ground.clock))
    vms.attach(replica)
    templates.attach(replica)
    return Registries(vm_documents=vm_documents, template_documents=template_documents, vms=vms, templates=templates)


def build_vms(core: Core, known: Registries, storage: StorageService) -> VmParts:
    """The services; recoveries are registered."""
    definer = Definer(core.drivers.hypervisor, storage)
    files = SnapshotFiles(core.ground.facts.state_dir, core.ground.files)
    still = Stillness(core.drivers.guest_snapshots, core.tasks)
    vms = _vm_service(core, known, storage, definer, files)
    return VmParts(
        vms=vms,
        snapshots=_snapshots(core, known, storage, still, definer, files),
        disks=_disks(core, known, storage, definer, vms),
        templates=_templates(core, known, storage, vms),
        still=still,
    )


def _vm_service(
    core: Core, known: Registries, storage: StorageService, definer: Definer, files: SnapshotFiles
) -> VmService:
    ground, drivers = core.ground, core.drivers
    birth = VmBirth(
        known.vm_documents,
        drivers.hypervisor,
        storage,
        definer,
        core.tasks,
        snapshot_files=files,
        node=ground.state.node_id,
        clock=ground.clock,
        entropy=ground.entropy,
    )
    return VmService(
        known.vm_documents,
        known.vms,
        drivers.hypervisor,
        drivers.keyboard,
        storage,
        definer,
        birth,
        core.tasks,
        node=ground.state.node_id,
        node_name=ground.state.name,
        host=HostSurroundings(ground.facts.machines, ground.files).now,
        entropy=ground.entropy,
    )


def _snapshots(
    core: Core,
    known: Registries,
    storage: StorageService,
    still: Stillness,
    definer: Definer,
    files: SnapshotFiles,
) -> SnapshotService:
    documents, guests, tasks = known.vm_documents, core.drivers.guest_snapshots, core.tasks
    disks = SnapshotDisks(storage.disk_snapshots, core.drivers.hypervisor, guests)
    birth = SnapshotBirth(documents, known.vms, guests, still, disks, files, tasks, clock=core.ground.clock)
    revert = SnapshotRevert(
        documents,
        known.vms,
        hypervisor=core.drivers.hypervisor,
        guests=guests,
        disks=disks,
        files=files,
        definer=definer,
        storage=storage,
        tasks=tasks,
    )
    return SnapshotService(documents, known.vms, disks, birth, revert, tasks, node_name=core.ground.state.name)


def _disks(core: Core, known: Registries, storage: StorageService, definer: Definer, vms: VmService) -> DiskService:
    blocks, tasks = core.drivers.blocks, core.tasks
    records = DiskRecords(known.vm_documents, definer)
    watch = CopyWatch(blocks, known.vms, storage, core.ground.clock)
    move = DiskMove(records, known.vms, blocks, storage, watch, tasks)
    return DiskService(vms, storage, move, DiskGrowth(records, known.vms, blocks, storage, tasks))


def _templates(core: Core, known: Registries, storage: StorageService, vms: VmService) -> TemplateService:
    documents, templates, tasks = known.vm_documents, known.template_documents, core.tasks
    firmware = FirmwareVariables(core.ground.facts.state_dir, core.ground.files)
    life = TemplateLife(templates, documents, storage, core.drivers.hypervisor, firmware, tasks)
    return TemplateService(
        templates, documents, known.templates, vms, life, firmware, storage, tasks, node=core.ground.state.node_id
    )
