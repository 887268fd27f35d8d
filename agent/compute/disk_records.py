"""The documents of VMs whose disks change, replaced by compare-and-swap, and defined anew."""

from collections.abc import Callable

from agent.compute.definer import Definer
from horcrux.compute.vm import VmDocument
from horcrux.errors import Stale
from horcrux.store import Collection


class DiskRecords:
    def __init__(self, vms: Collection[VmDocument], definer: Definer) -> None:
        self._vms = vms
        self._definer = definer

    async def get(self, vm_id: str) -> VmDocument:
        """NotFound."""
        return (await self._vms.get(vm_id)).value

    async def of_uuid(self, vm_id: str, uuid: str) -> VmDocument | None:
        """None when the VM is gone, or its name another machine's by now."""
        found = await self._vms.find(vm_id)
        return found.value if found is not None and found.value.uuid == uuid else None

    async def change(self, vm_id: str, change: Callable[[VmDocument], VmDocument]) -> VmDocument:
        """The document as `change` makes it of what it is now. The VM's lock is held, so what else may write to it (a note)
        is seldom in the way, and never lost."""
        while True:
            was = await self._vms.get(vm_id)
            now = change(was.value)
            if now == was.value:
                return now
            try:
                await self._vms.replace(vm_id, was, now)
            except Stale:
                continue
            return now

    async def define(self, document: VmDocument) -> None:
        await self._definer.define(document)
