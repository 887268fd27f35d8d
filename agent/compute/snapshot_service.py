"""Snapshots of VMs for the API: list, create, delete, revert. Every change is a task that holds the VM and its volumes."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from agent.asked import Asked
from agent.compute.registry import VmRegistry
from agent.compute.snapshot_birth import SnapshotBirth
from agent.compute.snapshot_disks import SnapshotDisks
from agent.compute.snapshot_revert import SnapshotRevert
from agent.compute.vm_view import vm_view
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.compute.snapshot import (
    check_can_begin,
    check_can_revert,
    check_description,
    check_snapshot_name,
    find_snapshot,
)
from horcrux.compute.snapshot_bodies import Freeze, NewSnapshot, Revert, SnapshotView
from horcrux.compute.vm import VmDocument, VmSnapshot
from horcrux.errors import HorcruxError, invalid_field
from horcrux.storage.volume import disk_locks
from horcrux.store import Collection
from horcrux.tasks import Task, as_result

log = logging.getLogger(__name__)

Result = Mapping[str, object] | None


class SnapshotService:
    def __init__(
        self,
        vms: Collection[VmDocument],
        registry: VmRegistry,
        disks: SnapshotDisks,
        birth: SnapshotBirth,
        revert: SnapshotRevert,
        tasks: TaskSubmitter,
        *,
        node_name: str,
    ) -> None:
        self._vms = vms
        self._registry = registry
        self._disks = disks
        self._birth = birth
        self._revert = revert
        self._tasks = tasks
        self._node_name = node_name

    async def views(self, vm_id: str) -> list[SnapshotView]:
        """Oldest first. NotFound. Sizes are left out while a pool does not answer."""
        document = self._registry.find(vm_id).document.value
        if not document.snapshots:
            return []
        used = await self._used_bytes(document)
        return [_view(document, snapshot, used) for snapshot in document.snapshots]

    async def create(self, vm_id: str, order: NewSnapshot, asked: Asked) -> Task:
        """A task whose result is the snapshot."""
        check_snapshot_name(order.name, "name")
        check_description(order.description, "description")
        if order.memory and order.freeze is Freeze.ALWAYS:
            raise invalid_field("freeze", "with memory nothing is frozen: a frozen guest would come back frozen")
        document = self._registry.find(vm_id).document.value
        if not asked.wait_s:
            check_can_begin(document, order.name)

        async def body(run: TaskRun) -> Result:
            await self._birth.create(run, document.id, order)
            kept = (await self._vms.get(vm_id)).value
            return as_result(_view(kept, find_snapshot(kept, order.name), await self._used_bytes(kept)))

        return await self._submit("vm.snapshot.create", document, asked, body)

    async def delete(self, vm_id: str, name: str, asked: Asked) -> Task:
        document = self._registry.find(vm_id).document.value
        if not asked.wait_s:
            find_snapshot(document, name)

        async def body(run: TaskRun) -> Result:
            await self._birth.delete(run, document.id, name)
            return None

        return await self._submit("vm.snapshot.delete", document, asked, body)

    async def revert(self, vm_id: str, name: str, order: Revert, asked: Asked) -> Task:
        """A task whose result is the VM as it is then."""
        document = self._registry.find(vm_id).document.value
        if not asked.wait_s:
            check_can_revert(document, name)

        async def body(run: TaskRun) -> Result:
            await self._revert.revert(run, document.id, name, start=order.start)
            await self._registry.caught_up(document.id, (await self._vms.get(vm_id)).revision)
            known = self._registry.find(vm_id)
            view = vm_view(self._registry, known, self._node_name, asked.principal, ending=run.task.id, is_kept=True)
            return as_result(view)

        return await self._submit("vm.snapshot.revert", document, asked, body)

    async def _submit(
        self, action: str, document: VmDocument, asked: Asked, body: Callable[[TaskRun], Awaitable[Result]]
    ) -> Task:
        """The task is over once every list knows what it did."""
        vm = f"vm/{document.id}"
        volumes = disk_locks(document.spec.disks)

        async def told(run: TaskRun) -> Result:
            result = await body(run)
            await self._registry.caught_up(document.id, (await self._vms.get(document.id)).revision)
            return result

        return await self._tasks.submit(asked.order(action, vm, vm, *volumes), told)

    async def _used_bytes(self, document: VmDocument) -> Mapping[str, int]:
        try:
            return await self._disks.used_bytes(document)
        except HorcruxError as err:
            log.info("VM %s: what its snapshots take cannot be told now: %s", document.id, err)
            return {}


def _view(document: VmDocument, snapshot: VmSnapshot, used: Mapping[str, int]) -> SnapshotView:
    on_disks = used.get(snapshot.name)
    size_bytes = None if on_disks is None and not snapshot.has_memory else (on_disks or 0) + snapshot.memory_bytes
    return SnapshotView.of(document, snapshot, size_bytes)
