"""How a VM goes back to a snapshot, so that a crash at any step leaves it there and nowhere between.

    check everything -> document `reverting` -> stop -> disks -> firmware -> define as it was then -> document `ready`
      -> go on with the memory, or start, or stay stopped
    cut off after `reverting`: the same steps again, to the end

A guest that cannot be started afterwards does not undo the revert: the VM is whole, and stopped.
"""

import logging
from collections.abc import Mapping

from agent.compute.definer import Definer
from agent.compute.driver import GuestSnapshots, Hypervisor
from agent.compute.ports import Disks
from agent.compute.registry import VmRegistry
from agent.compute.snapshot_disks import SnapshotDisks
from agent.compute.snapshot_files import SnapshotFiles
from agent.compute.telling import Stage, untold
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute.snapshot import begin_revert, check_can_revert, end_revert, find_snapshot
from horcrux.compute.vm import Phase, VmDocument, VmSnapshot
from horcrux.errors import Conflict, HorcruxError, NotFound
from horcrux.ids import PoolId, VmId
from horcrux.store import Collection
from horcrux.units import gib_to_bytes

log = logging.getLogger(__name__)

_START, _STAY = "start", "stay"


class SnapshotRevert:
    """Body of `vm.snapshot.revert` and its recovery. The VM's lock is held by the task."""

    def __init__(
        self,
        vms: Collection[VmDocument],
        registry: VmRegistry,
        *,
        hypervisor: Hypervisor,
        guests: GuestSnapshots,
        disks: SnapshotDisks,
        files: SnapshotFiles,
        definer: Definer,
        storage: Disks,
        tasks: TaskSubmitter,
    ) -> None:
        self._vms = vms
        self._registry = registry
        self._hypervisor = hypervisor
        self._guests = guests
        self._disks = disks
        self._files = files
        self._definer = definer
        self._storage = storage
        tasks.recovery("vm.finish_revert", self._finish)

    async def revert(self, run: TaskRun, vm_id: VmId, name: str, *, start: bool | None) -> None:
        """The VM is as it was at the snapshot. `start` None: running when it ran then."""
        was = await self._vms.get(vm_id)
        snapshot = check_can_revert(was.value, name)
        await self._disks.check_can_revert(snapshot.spec, name)
        await self._registry.look_again(vm_id)
        await self._check_drive(snapshot)
        starts = snapshot.was_running if start is None else start
        then = _START if starts else _STAY
        task = run.task.id
        await run.undo("vm.finish_revert", id=vm_id, uuid=was.value.uuid, snapshot=name, then=then, task=task)
        await self._reserve(was.value, snapshot)
        await run.stage("marking it: from here on it goes to the end", 0.05)
        await self._vms.replace(vm_id, was, begin_revert(was.value, name, task))
        await self._bring_back(vm_id, snapshot, run.stage)
        if starts:
            await run.stage("going on where it was" if snapshot.has_memory else "starting it", 0.8)
            await self._start_or_tell(run, vm_id, snapshot)
        await run.commit()

    async def _reserve(self, document: VmDocument, snapshot: VmSnapshot) -> None:
        """What its disks grow by counts before anything is done. QuotaExceeded."""
        larger = []
        for disk in snapshot.spec.disks:
            then_bytes = gib_to_bytes(disk.size_gb)
            if then_bytes > (await self._storage.find_disk(disk.storage_pool, disk.volume)).capacity_bytes:
                larger.append((disk.storage_pool, disk.volume, then_bytes))
        await self._storage.reserve(document.user, larger)

    async def _check_drive(self, snapshot: VmSnapshot) -> None:
        """Conflict when the image that was in the drive is gone: the VM could not be defined."""
        if snapshot.spec.cdrom is None:
            return
        pool, _, name = snapshot.spec.cdrom.partition("/")
        try:
            await self._storage.image_path(PoolId(pool), name)
        except NotFound as err:
            words = f"snapshot {snapshot.name} has image {name} of pool {pool} in its drive, and that is gone"
            raise Conflict(f"{words}; upload it again", image=name, pool=pool) from err

    async def _bring_back(self, vm_id: VmId, snapshot: VmSnapshot, stage: Stage = untold) -> None:
        """Stopped, its disks and its definition as they were, its document `ready`. Idempotent."""
        await stage("stopping it", 0.1)
        await self._plug(vm_id)
        for number, disk in enumerate(snapshot.spec.disks):
            await stage(f"bringing {disk.name} back", 0.2 + 0.4 * number / len(snapshot.spec.disks))
            await self._disks.revert(disk, snapshot.name)
        await self._files.revert_firmware(vm_id, snapshot.name)
        was = await self._vms.get(vm_id)
        now = end_revert(was.value)
        await stage("defining it as it was", 0.7)
        await self._definer.define(now)
        await self._vms.replace(vm_id, was, now)
        await self._registry.look_again(vm_id)

    async def _plug(self, vm_id: VmId) -> None:
        try:
            await self._hypervisor.stop(vm_id)
        except (Conflict, NotFound) as err:
            log.debug("VM %s was not running: %s", vm_id, err)

    async def _start(self, vm_id: VmId, snapshot: VmSnapshot) -> None:
        if snapshot.has_memory:
            await self._guests.restore_memory(vm_id, self._files.memory(vm_id, snapshot.name))
        else:
            await self._hypervisor.start(vm_id)
        await self._registry.look_again(vm_id)

    async def _start_or_tell(self, run: TaskRun, vm_id: VmId, snapshot: VmSnapshot) -> None:
        try:
            await self._start(vm_id, snapshot)
        except HorcruxError as err:
            await run.commit()  # it is reverted, and stays so
            words = f"VM {vm_id} is back at snapshot {snapshot.name}, but could not be started: {err}"
            raise Conflict(words, vm=vm_id, snapshot=snapshot.name, cause=err.code) from err

    async def _finish(self, args: Mapping[str, str]) -> None:
        found = await self._vms.find(args["id"])
        if found is None or found.value.uuid != args["uuid"]:
            return
        document, vm_id = found.value, found.value.id
        if document.phase is Phase.REVERTING and document.reverting == args["snapshot"]:
            await self._bring_back(vm_id, find_snapshot(document, args["snapshot"]))
        elif document.phase is not Phase.READY or document.operation != args["task"]:
            for disk in document.spec.disks:  # it had not begun
                await self._disks.settle(disk)
            return
        if args["then"] != _START or await self._disks.is_active(vm_id):
            return
        try:
            await self._start(vm_id, find_snapshot(document, args["snapshot"]))
        except HorcruxError as err:
            log.warning("VM %s is back at snapshot %s, but stays stopped: %s", vm_id, args["snapshot"], err)
