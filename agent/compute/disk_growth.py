"""Grows a disk, while its guest runs or not: volume, document and guest agree afterwards, whatever happens on the way.

    undo recorded -> size reserved -> volume grown (a file that a guest has open: by that guest's QEMU) -> guest told -> document

A volume never shrinks, so the undo goes forward: what the volume has become is what document, guest and quota get.
"""

from collections.abc import Mapping

from agent.compute.disk_ports import DiskVolumes
from agent.compute.disk_records import DiskRecords
from agent.compute.driver import BlockJobs
from agent.compute.registry import VmRegistry
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute.disk_change import disk_of, grown
from horcrux.compute.settled import check_settled
from horcrux.compute.vm import ALIVE, Disk, Phase
from horcrux.errors import Conflict, NotFound
from horcrux.ids import VmId
from horcrux.storage.volume import Volume, VolumeKind
from horcrux.units import bytes_to_gib


class DiskGrowth:
    """Body of `vm.disk.resize`, and its recovery. The locks of the VM and of the volume are held by the task."""

    def __init__(
        self,
        records: DiskRecords,
        registry: VmRegistry,
        blocks: BlockJobs,
        volumes: DiskVolumes,
        tasks: TaskSubmitter,
    ) -> None:
        self._records = records
        self._registry = registry
        self._blocks = blocks
        self._volumes = volumes
        tasks.recovery("vm.disk.resize", self._recover)

    async def grow(self, run: TaskRun, vm_id: VmId, name: str, size_bytes: int) -> None:
        """The disk, and what the guest sees of it, has that size. Conflict when it is larger."""
        document = await self._records.get(vm_id)
        check_settled(document)
        disk = disk_of(document, name)
        volume = await self._volumes.find_disk(disk.storage_pool, disk.volume)
        check_grows(volume, name, size_bytes)
        await run.undo("vm.disk.resize", vm=vm_id, uuid=document.uuid, disk=name)
        await self._volumes.reserve(document.user, [(disk.storage_pool, disk.volume, size_bytes)])
        await self._warn(run, disk, size_bytes - volume.capacity_bytes)
        is_alive = await self._is_alive(vm_id)
        await run.stage(f"growing {name} to {bytes_to_gib(size_bytes)} GiB", 0.2)
        if is_alive and volume.kind is VolumeKind.FILE:
            await self._blocks.grow_disk(vm_id, name, size_bytes)
        else:
            volume = await self._volumes.grow_disk(disk.storage_pool, disk.volume, size_bytes)
            await run.stage("telling the guest", 0.5)
            if is_alive:
                await self._blocks.grow_disk(vm_id, name, volume.capacity_bytes)
        await run.stage("recording its size", 0.8)
        await self._agree(vm_id, name)
        await run.commit()

    async def _agree(self, vm_id: VmId, name: str) -> None:
        """Document, definition and quota have the size of the volume. Idempotent."""
        disk = disk_of(await self._records.get(vm_id), name)
        volume = await self._volumes.find_disk(disk.storage_pool, disk.volume)
        await self._volumes.settle(volume)
        document = await self._records.change(vm_id, lambda was: grown(was, name, volume))
        await self._records.define(document)

    async def _warn(self, run: TaskRun, disk: Disk, more_bytes: int) -> None:
        available = await self._volumes.available_bytes(disk.storage_pool)
        if available is not None and more_bytes > available:
            run.warn(
                f"pool {disk.storage_pool} has {bytes_to_gib(available)} GiB left, which is less than the "
                f"{bytes_to_gib(more_bytes)} GiB that {disk.name} grows by: when it fills up, its guest is paused"
            )

    async def _is_alive(self, vm_id: VmId) -> bool:
        seen = await self._registry.look_again(vm_id)
        return seen is not None and seen.state in ALIVE

    async def _recover(self, args: Mapping[str, str]) -> None:
        document = await self._records.of_uuid(args["vm"], args["uuid"])
        if document is None or document.phase is not Phase.READY:
            return
        vm_id, name = VmId(args["vm"]), args["disk"]
        try:
            disk = disk_of(document, name)
            volume = await self._volumes.find_disk(disk.storage_pool, disk.volume)
        except NotFound:
            return  # it went with its volume
        if grown(document, name, volume) != document and await self._is_alive(vm_id):
            await self._blocks.grow_disk(vm_id, name, volume.capacity_bytes)
        await self._agree(vm_id, name)


def check_grows(volume: Volume, disk: str, size_bytes: int) -> None:
    """Conflict when the volume is larger than that."""
    if size_bytes < volume.capacity_bytes:
        raise Conflict(
            f"{disk} has {bytes_to_gib(volume.capacity_bytes)} GiB already, and disks never shrink",
            capacity_bytes=volume.capacity_bytes,
        )
