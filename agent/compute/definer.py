"""Makes the hypervisor's definition agree with a VM's document: resolves paths, writes the seed, defines."""

from agent.compute.driver import Hypervisor
from agent.compute.ports import Disks
from horcrux.compute.domain import DomainDisk, DomainPlan
from horcrux.compute.settled import check_settled
from horcrux.compute.vm import VmDocument
from horcrux.ids import PoolId


class Definer:
    def __init__(self, hypervisor: Hypervisor, disks: Disks) -> None:
        self._hypervisor = hypervisor
        self._disks = disks

    async def define(self, document: VmDocument) -> None:
        """The definition is that of the document; a running guest takes it at its next start. Idempotent.

        NotFound when a volume or an image that it names is missing, Conflict while a disk's move is unsettled.
        """
        check_settled(document)
        await self._hypervisor.define(await self._plan(document))

    async def _plan(self, document: VmDocument) -> DomainPlan:
        spec = document.spec
        disks = []
        for disk in spec.disks:
            volume = await self._disks.find_disk(disk.storage_pool, disk.volume)
            disks.append(
                DomainDisk(
                    name=disk.name, path=volume.path, format=volume.format, kind=volume.kind, network=volume.network
                )
            )
        seed = cdrom = None
        if spec.cloud_init is not None:
            seed = await self._disks.write_seed(document.id, document.uuid, document.seed, spec.name, spec.cloud_init)
        elif document.seed:  # it had one before
            await self._disks.delete_seed(document.id)
        if spec.cdrom is not None:
            pool, _, name = spec.cdrom.partition("/")
            cdrom = await self._disks.image_path(PoolId(pool), name)
        return DomainPlan(
            vm_id=document.id, uuid=document.uuid, spec=spec, disks=tuple(disks), seed_iso=seed, cdrom=cdrom
        )
