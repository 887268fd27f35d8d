"""Moving and growing disks, and quotas: put together from what a node has."""

from collections.abc import Sequence

from agent.api import disks as disks_api
from agent.api import quotas as quotas_api
from agent.compute.definer import Definer
from agent.compute.disk_service import DiskService, build_disks
from agent.compute.driver import BlockJobs, Hypervisor
from agent.compute.service import VmService
from agent.events import Publisher
from agent.http.route import AnyRoute
from agent.storage.disk_volumes import DiskVolumes
from agent.storage.quota_service import QuotaService
from agent.storage.service import StorageService
from agent.tasks import TaskSubmitter
from horcrux.clock import Clock
from horcrux.compute.vm import VmDocument
from horcrux.store import Collection, Store


class DiskParts:
    """Recoveries are registered when it is made; `start` comes after the task engine's, before anything is served."""

    def __init__(self, disks: DiskService, quotas: QuotaService) -> None:
        self._disks = disks
        self._quotas = quotas

    async def start(self) -> None:
        """What counts towards quotas is what there is."""
        await self._quotas.start()

    def routes(self) -> Sequence[AnyRoute]:
        return (*disks_api.routes(self._disks), *quotas_api.routes(self._quotas))


def build_disk_parts(
    store: Store,
    vms: VmService,
    storage: StorageService,
    hypervisor: Hypervisor,
    blocks: BlockJobs,
    tasks: TaskSubmitter,
    events: Publisher,
    clock: Clock,
) -> DiskParts:
    documents = Collection(store, "vm", VmDocument)
    definer, volumes = Definer(hypervisor, storage), DiskVolumes(storage)
    disks = build_disks(documents, vms, blocks, definer, volumes, tasks, clock=clock)
    return DiskParts(disks, QuotaService(store, storage.quotas, storage.pools, events))
