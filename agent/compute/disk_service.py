"""Disks of VMs for the API: moved to another pool, and grown. Both are tasks that hold the VM and the volumes."""

from agent.asked import Asked
from agent.compute.disk_growth import DiskGrowth, check_grows
from agent.compute.disk_move import DiskMove, Route
from agent.compute.disk_ports import DiskVolumes
from agent.compute.service import VmService
from agent.tasks import TaskRun
from horcrux.compute.disk_bodies import MoveDisk, ResizeDisk
from horcrux.compute.disk_change import check_can_move, disk_of
from horcrux.compute.lifecycle import Verb, admit
from horcrux.compute.vm import VmDocument
from horcrux.errors import NotFound, invalid_field
from horcrux.ids import PoolId, VmId
from horcrux.storage.volume import check_size_gb, disk_locks, volume_lock
from horcrux.tasks import Task


class DiskService:
    def __init__(self, vms: VmService, volumes: DiskVolumes, move: DiskMove, growth: DiskGrowth) -> None:
        self._vms = vms
        self._volumes = volumes
        self._move = move
        self._growth = growth

    async def move(self, vm_id: str, disk: str, order: MoveDisk, asked: Asked) -> Task:
        """A task whose result is the VM. NotFound, Invalid (the same pool), InUse (snapshots) at once."""
        document = self._admitted(vm_id, asked)
        found = check_can_move(document, disk, order.storage_pool)
        pool = PoolId(order.storage_pool)
        try:
            format_ = self._volumes.format_for(pool, order.format, found.format)
        except NotFound as err:
            raise invalid_field("storage_pool", str(err)) from err
        route = Route(
            vm_id=document.id,
            disk=disk,
            source=(found.storage_pool, found.volume),
            target=(pool, await self._free_name(pool, found.volume)),
            format=format_,
        )

        async def body(run: TaskRun) -> None:
            self._admit_now(vm_id)
            await self._move.move(run, route)

        locks = [volume_lock(*place) for place in (route.source, route.target)]
        return await self._vms.submit("vm.disk.move", document.id, asked, body, locks)

    async def resize(self, vm_id: str, disk: str, order: ResizeDisk, asked: Asked) -> Task:
        """A task whose result is the VM. NotFound, Invalid, Conflict (it would shrink) at once."""
        document = self._admitted(vm_id, asked)
        size_bytes = check_size_gb(order.size_gb, "size_gb")
        found = disk_of(document, disk)
        check_grows(await self._volumes.find_disk(found.storage_pool, found.volume), disk, size_bytes)

        async def body(run: TaskRun) -> None:
            self._admit_now(vm_id)
            await self._growth.grow(run, VmId(vm_id), disk, size_bytes)

        return await self._vms.submit("vm.disk.resize", document.id, asked, body, disk_locks([found]))

    def _admitted(self, vm_id: str, asked: Asked) -> VmDocument:
        document = self._vms.registry.find(vm_id).document.value
        if not asked.wait_s:
            self._admit_now(vm_id)
        return document

    def _admit_now(self, vm_id: str) -> None:
        admit(self._vms.registry.state_of(vm_id), Verb.UPDATE, vm_id)

    async def _free_name(self, pool: PoolId, wanted: str) -> str:
        """`wanted`, with a number behind where the pool has a volume of that name."""
        name, number = wanted, 1
        while await self._volumes.has_volume(pool, name):
            number += 1
            name = f"{wanted}-{number}"
        return name
