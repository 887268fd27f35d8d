"""How a snapshot of a VM comes and goes, so that a crash at any step leaves a whole one or none.

create:  reserve (in the VM's document, `creating`) -> still the guest -> firmware -> disks -> memory -> document `ready`
         cut off before `ready`: what is on the disks is removed, then the entry
delete:  document `deleting` -> disks -> files -> entry gone, its children stand on its parent
         cut off after `deleting`: the same steps again, to the end
"""

from collections.abc import Mapping

import msgspec

from agent.compute.driver import GuestSnapshots
from agent.compute.registry import VmRegistry
from agent.compute.snapshot_disks import Parts, SnapshotDisks
from agent.compute.snapshot_files import SnapshotFiles
from agent.compute.snapshot_stillness import Stillness, Stood
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.clock import Clock
from horcrux.compute.snapshot import begin, check_can_begin, complete, doom, find_snapshot, without
from horcrux.compute.snapshot_bodies import Freeze, NewSnapshot
from horcrux.compute.vm import ALIVE, Phase, RunState, SnapshotPhase, VmDocument, VmSnapshot
from horcrux.errors import Conflict, NotFound
from horcrux.ids import VmId
from horcrux.store import Collection

_INSTALL = "install qemu-guest-agent in the guest (its channel is there), start it, or leave freeze at auto"


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How one is taken: what the guest does, and who takes which disk."""

    parts: Parts
    state: RunState
    can_freeze: bool


class SnapshotBirth:
    """Bodies of `vm.snapshot.create` and `vm.snapshot.delete`, and their recoveries. The VM's lock is held by the task."""

    def __init__(
        self,
        vms: Collection[VmDocument],
        registry: VmRegistry,
        guests: GuestSnapshots,
        still: Stillness,
        disks: SnapshotDisks,
        files: SnapshotFiles,
        tasks: TaskSubmitter,
        *,
        clock: Clock,
    ) -> None:
        self._vms = vms
        self._registry = registry
        self._guests = guests
        self._disks = disks
        self._files = files
        self._still = still
        self._clock = clock
        tasks.recovery("vm.unsnapshot", self._uncreate)
        tasks.recovery("vm.finish_snapshot_delete", self._finish_delete)

    async def create(self, run: TaskRun, vm_id: VmId, order: NewSnapshot) -> None:
        """The VM has the snapshot, `ready`, and stands on it."""
        was = await self._vms.get(vm_id)
        document, name = was.value, order.name
        check_can_begin(document, name)
        seen = await self._registry.look_again(vm_id)
        state = RunState.STOPPED if seen is None else seen.state
        if order.memory and state not in {RunState.RUNNING, RunState.PAUSED}:
            raise Conflict(f"VM {vm_id} is {state}, so it has no memory to keep; leave memory out", state=str(state))
        parts = await self._disks.parts(vm_id, document.spec)
        await self._disks.check_free(document.spec, name)
        can_freeze = not order.memory and await self._can_freeze(run, vm_id, order.freeze, state)
        plan = _Plan(parts=parts, state=state, can_freeze=can_freeze)
        await run.undo("vm.unsnapshot", id=vm_id, uuid=document.uuid, snapshot=name)
        await run.stage("reserving its name", 0.05)
        await self._vms.replace(vm_id, was, begin(document, self._new(document, order, state)))
        await self._files.prepare(vm_id)
        is_whole = await self._take(run, vm_id, order, plan)
        memory_bytes = await self._files.memory_bytes(vm_id, name)
        await run.stage("making it ready", 0.95)
        was = await self._vms.get(vm_id)
        await self._vms.replace(
            vm_id, was, complete(was.value, name, is_consistent=is_whole, memory_bytes=memory_bytes)
        )
        await run.commit()

    def _new(self, document: VmDocument, order: NewSnapshot, state: RunState) -> VmSnapshot:
        return VmSnapshot(
            name=order.name,
            description=order.description,
            created_at=self._clock.now(),
            parent=document.snapshot,
            has_memory=order.memory,
            was_running=state in ALIVE,
            spec=document.spec,
            seed=document.seed,
        )

    async def _can_freeze(self, run: TaskRun, vm_id: VmId, wanted: Freeze, state: RunState) -> bool:
        """Whether the guest is to be frozen. Conflict when it has to be and cannot."""
        if wanted is Freeze.NEVER or state not in ALIVE:
            return False
        if state is RunState.PAUSED:
            why, way_out = "it is paused", "resume it first"
        elif await self._guests.has_agent(vm_id):
            return True
        else:
            why, way_out = "no guest agent answers", _INSTALL
        if wanted is Freeze.ALWAYS:
            raise Conflict(f"the file systems of VM {vm_id} cannot be frozen: {why}; {way_out}", vm=vm_id)
        run.log(f"its file systems are not frozen, since {why}: the snapshot is as after a power cut; {way_out}")
        return False

    async def _take(self, run: TaskRun, vm_id: VmId, order: NewSnapshot, plan: _Plan) -> bool:
        """Everything is kept; whether what is on the disks is whole. Conflict when it has to be and is not."""
        name = order.name

        async def work() -> None:
            await run.stage("taking the disks", 0.3)
            await self._files.keep_firmware(vm_id, name)
            await self._disks.take(vm_id, plan.parts, name)
            if (
                order.memory
            ):  # last: QEMU closes its disks at the end of it, as for a migration, until the guest goes on
                await run.stage("writing the guest's memory", 0.4)
                await self._guests.save_memory(vm_id, self._files.memory(vm_id, name))

        stood = await self._still.frozen(run, vm_id, work) if plan.can_freeze else Stood.NEVER
        if stood is not Stood.THROUGHOUT and order.freeze is Freeze.ALWAYS and plan.can_freeze:
            raise Conflict(f"the file systems of VM {vm_id} did not stay frozen until its disks were taken; try again")
        if stood is Stood.BROKEN:
            run.warn("the guest's file systems did not stay frozen: the snapshot is as after a power cut")
        if stood is not Stood.NEVER:
            return stood is Stood.THROUGHOUT
        if plan.state is RunState.RUNNING and (order.memory or plan.parts.moments > 1):
            await self._still.held(run, vm_id, work)
        else:
            await work()
        return order.memory or plan.state not in ALIVE

    async def delete(self, run: TaskRun, vm_id: VmId, name: str) -> None:
        """The snapshot is gone; the VM and its other snapshots do not change."""
        was = await self._vms.get(vm_id)
        document = was.value
        find_snapshot(document, name)
        if document.phase is not Phase.READY:
            raise Conflict(f"cannot delete a snapshot of VM {vm_id}: it is {document.phase}", state=str(document.phase))
        await self._disks.parts(vm_id, document.spec)
        await self._disks.check_no_clones(document.spec, name)
        await run.undo("vm.finish_snapshot_delete", id=vm_id, uuid=document.uuid, snapshot=name)
        await run.stage("marking it: from here on it goes to the end", 0.05)
        await self._vms.replace(vm_id, was, doom(document, name))
        await run.stage("removing it from the disks", 0.2)
        await self._remove(document, name)
        await run.commit()

    async def _remove(self, document: VmDocument, name: str) -> None:
        """Disks, files and, last, the entry. Idempotent."""
        await self._disks.remove(document.id, document.spec, name)
        await self._files.remove(document.id, name)
        was = await self._vms.get(document.id)
        await self._vms.replace(document.id, was, without(was.value, name))

    async def _uncreate(self, args: Mapping[str, str]) -> None:
        await self._remove_if(args, SnapshotPhase.CREATING)

    async def _finish_delete(self, args: Mapping[str, str]) -> None:
        await self._remove_if(args, SnapshotPhase.DELETING)

    async def _remove_if(self, args: Mapping[str, str], phase: SnapshotPhase) -> None:
        """Unless the VM's name belongs to another machine by now, or the snapshot is in another phase."""
        found = await self._vms.find(args["id"])
        if found is None or found.value.uuid != args["uuid"] or found.value.phase is Phase.DELETING:
            return
        try:
            snapshot = find_snapshot(found.value, args["snapshot"])
        except NotFound:
            return
        if snapshot.phase is phase:
            await self._remove(found.value, snapshot.name)
