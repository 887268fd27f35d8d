"""Moves a disk to another pool of the node, while its guest runs or not.

    stopped:  undo recorded -> size reserved -> volume copied -> document -> defined -> old volume gone
    running:  … -> empty volume -> copied by QEMU, writes and all -> document `moving` -> guest switched -> document -> …

The document is the point of commitment. Between the switch and the document only the hypervisor knows which volume is the
newer one, also after the guest has stopped (`BlockJobs.disk_path`): the undo asks it, and goes forward when that is the new one.
"""

import logging
from collections.abc import Mapping

import msgspec

from agent.compute.disk_copy import BEGUN, ENDED, CopyWatch
from agent.compute.disk_ports import DiskVolumes
from agent.compute.disk_records import DiskRecords
from agent.compute.driver import BlockJobs
from agent.compute.registry import VmRegistry
from agent.compute.telling import Stage, untold
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute.disk_change import begin_switch, check_can_move, disk_of, moved, not_moved
from horcrux.compute.domain import DomainDisk
from horcrux.compute.vm import ALIVE, Phase, VmDocument
from horcrux.errors import Conflict, NotFound, Unavailable
from horcrux.ids import PoolId, VmId
from horcrux.storage.network_source import without_options
from horcrux.storage.refusals import volume_taken
from horcrux.storage.volume import Volume

log = logging.getLogger(__name__)

Place = tuple[PoolId, str]
"""Pool and name of a volume."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What is moved whereto."""

    vm_id: VmId
    disk: str
    source: Place
    target: Place
    format: str


class DiskMove:
    """Body of `vm.disk.move`, and its recovery. The locks of the VM and of both volumes are held by the task."""

    def __init__(
        self,
        records: DiskRecords,
        registry: VmRegistry,
        blocks: BlockJobs,
        volumes: DiskVolumes,
        watch: CopyWatch,
        tasks: TaskSubmitter,
    ) -> None:
        self._records = records
        self._registry = registry
        self._blocks = blocks
        self._volumes = volumes
        self._watch = watch
        tasks.recovery("vm.disk.move", self._settle)

    async def move(self, run: TaskRun, route: Route) -> None:
        """The disk is the volume `target`; `source` is gone."""
        document = await self._records.get(route.vm_id)
        source = await self._checked(document, route)
        await run.undo(
            "vm.disk.move",
            vm=route.vm_id,
            uuid=document.uuid,
            disk=route.disk,
            source="/".join(route.source),
            target="/".join(route.target),
        )
        await self._volumes.reserve(document.user, [(*route.target, source.capacity_bytes)], [route.source])
        if await self._is_alive(route.vm_id):
            volume = await self._copy_running(run, route, source)
        else:
            volume = await self._copy_stopped(run, route)
        await run.stage("recording where it is", ENDED)
        await self._end(run.stage, route, volume)
        await run.commit()

    async def _checked(self, document: VmDocument, route: Route) -> Volume:
        """The volume that is moved; as at admission, now that the locks are held."""
        disk = check_can_move(document, route.disk, route.target[0])
        if (disk.storage_pool, disk.volume) != route.source:
            raise Conflict(f"{route.disk} of VM {route.vm_id} has been moved meanwhile; look at it again")
        if await self._volumes.has_volume(*route.target):
            raise volume_taken(*route.target)
        return await self._volumes.find_disk(*route.source)

    async def _copy_stopped(self, run: TaskRun, route: Route) -> Volume:
        await run.stage(f"copying {route.disk} to pool {route.target[0]}", BEGUN)

        def tell(fraction: float) -> None:
            run.progress(BEGUN + (ENDED - BEGUN) * fraction)

        return await self._volumes.copy_disk(route.source, *route.target, tell, route.format)

    async def _copy_running(self, run: TaskRun, route: Route, source: Volume) -> Volume:
        await run.stage(f"making volume {route.target[1]} in pool {route.target[0]}", BEGUN)
        volume = await self._volumes.create_disk(*route.target, source.capacity_bytes, None, _untold, route.format)
        await run.stage(f"copying {route.disk} while the guest runs")
        await self._blocks.start_copy(route.vm_id, route.disk, _opened(route.disk, volume))
        await self._watch.until_ready(run, route.vm_id, route.disk, route.target[0])
        await run.stage("switching the guest to the copy", ENDED)
        await self._records.change(route.vm_id, lambda was: begin_switch(was, route.disk, *route.target))
        await run.stage("switching the guest")
        await self._blocks.switch(route.vm_id, route.disk)
        return volume

    async def _end(self, stage: Stage, route: Route, volume: Volume) -> None:
        """From the point of commitment on. Idempotent."""
        document = await self._records.change(route.vm_id, lambda was: moved(was, route.disk, volume))
        await stage("defining it")
        await self._records.define(document)
        await stage(f"removing volume {route.source[1]} of pool {route.source[0]}", 0.95)
        await self._remove(route, route.source)

    async def _is_alive(self, vm_id: VmId) -> bool:
        seen = await self._registry.look_again(vm_id)
        return seen is not None and seen.state in ALIVE

    async def _settle(self, args: Mapping[str, str]) -> None:
        """The disk is one of the two volumes, the one with the newest content, and the other is gone."""
        source, target = _place(args["source"]), _place(args["target"])
        route = Route(vm_id=VmId(args["vm"]), disk=args["disk"], source=source, target=target, format="")
        document = await self._records.of_uuid(args["vm"], args["uuid"])
        if document is None or document.phase is Phase.DELETING:
            if self._volumes.use_of(*target) is None:
                await self._volumes.delete_disk(*target)
            return  # its disks go with it; a volume that has the name of one by now is another's
        disk = disk_of(document, route.disk)
        is_recorded = (disk.storage_pool, disk.volume) == target
        if not is_recorded and not await self._is_switched(route):
            await self._drop(route)
            if not await self._is_switched(route):  # asked again: a switch may have ended while its copy was dropped
                await self._go_back(route, document)
                return
        log.info("VM %s: %s is in pool %s, which its guest has written to", route.vm_id, route.disk, target[0])
        new = await self._volume(target)
        if new is None:
            words = f"volume {target[1]} is not in pool {target[0]} now, though it is {route.disk} of VM {route.vm_id}"
            raise Unavailable(f"{words}; is the pool's storage there?", vm=route.vm_id, pool=target[0])
        await self._end(untold, route, new)

    async def _go_back(self, route: Route, document: VmDocument) -> None:
        """The copy is gone, once it is known that the guest has the old volume."""
        path, old = await self._path(route), await self._volume(route.source)
        if path is None and route.disk not in document.moving:
            log.debug("VM %s is not defined, and was never to be switched", route.vm_id)
        elif path is None or old is None or path != without_options(old.path):
            words = (
                f"it cannot be told which volume {route.disk} of VM {route.vm_id} is: the hypervisor has {path} for it"
            )
            raise Unavailable(f"{words}; neither copy is removed", vm=route.vm_id, disk=route.disk)
        await self._remove(route, route.target)
        await self._records.change(route.vm_id, lambda was: not_moved(was, route.disk))

    async def _remove(self, route: Route, place: Place) -> None:
        """Gone, unless another VM or a template has it by now."""
        use = self._volumes.use_of(*place)
        if use is None or use.vm_id == route.vm_id:
            await self._volumes.delete_disk(*place)
        else:
            log.warning("VM %s: volume %s of pool %s stays: %s has it", route.vm_id, place[1], place[0], use.holder)

    async def _volume(self, place: Place) -> Volume | None:
        try:
            return await self._volumes.find_disk(*place)
        except NotFound:
            return None

    async def _path(self, route: Route) -> str | None:
        """Of what the guest has as its disk; None when it is not defined."""
        try:
            return await self._blocks.disk_path(route.vm_id, route.disk)
        except NotFound:
            return None

    async def _is_switched(self, route: Route) -> bool:
        new = await self._volume(route.target)
        return new is not None and await self._path(route) == without_options(new.path)

    async def _drop(self, route: Route) -> None:
        try:
            await self._blocks.drop_copy(route.vm_id, route.disk)
        except NotFound:
            log.debug("VM %s is not defined: nothing of it is being copied", route.vm_id)


def _opened(disk: str, volume: Volume) -> DomainDisk:
    return DomainDisk(name=disk, path=volume.path, format=volume.format, kind=volume.kind, network=volume.network)


def _place(text: str) -> Place:
    pool, _, name = text.partition("/")
    return PoolId(pool), name


def _untold(_fraction: float) -> None:
    """An empty volume is there at once."""
