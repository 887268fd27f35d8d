"""The calls that work on one disk of a VM."""

from collections.abc import Sequence

from agent.asked import Asked
from agent.compute.disk_service import DiskService
from agent.http.route import AnyRoute, Call, Route
from horcrux.auth.permission import Scope
from horcrux.compute.disk_bodies import MoveDisk, ResizeDisk
from horcrux.compute.vm_bodies import VmView, Wait
from horcrux.tasks import Task


class DiskApi:
    def __init__(self, disks: DiskService) -> None:
        self._disks = disks

    async def move(self, call: Call[MoveDisk, Wait]) -> Task:
        return await self._disks.move(call.path["id"], call.path["disk"], call.body, _asked(call))

    async def resize(self, call: Call[ResizeDisk, Wait]) -> Task:
        return await self._disks.resize(call.path["id"], call.path["disk"], call.body, _asked(call))


def _asked(call: Call[MoveDisk, Wait] | Call[ResizeDisk, Wait]) -> Asked:
    return Asked(principal=call.principal, request_id=call.request_id, wait_s=call.query.wait_s)


def routes(disks: DiskService) -> Sequence[AnyRoute]:
    api = DiskApi(disks)
    return (
        Route(
            "POST",
            "/api/vms/{id}/disks/{disk}/move",
            api.move,
            scope=Scope.VM_WRITE,
            summary="Move a disk to another pool, also while the guest runs",
            description="A linked clone's disk becomes independent. Refused while the VM has snapshots.",
            body=MoveDisk,
            query=Wait,
            response=VmView,
            audit="vm.disk.move",
            task=True,
        ),
        Route(
            "POST",
            "/api/vms/{id}/disks/{disk}/resize",
            api.resize,
            scope=Scope.VM_WRITE,
            summary="Grow a disk, also while the guest runs",
            description="Disks never shrink. A running guest sees the new size at once.",
            body=ResizeDisk,
            query=Wait,
            response=VmView,
            audit="vm.disk.resize",
            task=True,
        ),
    )
