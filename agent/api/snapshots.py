"""The calls about a VM's snapshots."""

from collections.abc import Sequence
from typing import TypeVar

from agent.asked import Asked
from agent.compute.snapshot_service import SnapshotService
from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from horcrux.auth.permission import Scope
from horcrux.compute.snapshot_bodies import NewSnapshot, Revert, SnapshotView
from horcrux.compute.vm_bodies import VmView, Wait
from horcrux.tasks import Task

B = TypeVar("B")


class SnapshotApi:
    def __init__(self, snapshots: SnapshotService) -> None:
        self._snapshots = snapshots

    async def list(self, call: Call[Nothing, Nothing]) -> Reply:
        return Reply(body=await self._snapshots.views(call.path["id"]))

    async def create(self, call: Call[NewSnapshot, Wait]) -> Task:
        return await self._snapshots.create(call.path["id"], call.body, _asked(call))

    async def delete(self, call: Call[Nothing, Wait]) -> Task:
        return await self._snapshots.delete(call.path["id"], call.path["snapshot"], _asked(call))

    async def revert(self, call: Call[Revert, Wait]) -> Task:
        return await self._snapshots.revert(call.path["id"], call.path["snapshot"], call.body, _asked(call))

    def routes(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "GET",
                "/api/vms/{id}/snapshots",
                self.list,
                scope=Scope.VM_READ,
                summary="List the snapshots of a VM",
                description="Oldest first; `parent` makes them a tree.",
                response=list[SnapshotView],
            ),
            Route(
                "POST",
                "/api/vms/{id}/snapshots",
                self.create,
                scope=Scope.VM_WRITE,
                summary="Take a snapshot of a VM",
                description="All disks at one time, the memory too if asked for, and the VM's settings. The file systems of a "
                "running guest are frozen meanwhile when its agent answers; else the disks are as after a power cut.",
                body=NewSnapshot,
                query=Wait,
                response=SnapshotView,
                status=201,
                audit="vm.snapshot.create",
                task=True,
            ),
            Route(
                "DELETE",
                "/api/vms/{id}/snapshots/{snapshot}",
                self.delete,
                scope=Scope.VM_WRITE,
                summary="Delete a snapshot of a VM",
                description="In any order, also while the VM runs. Snapshots that stood on it stand on its parent then.",
                query=Wait,
                status=204,
                audit="vm.snapshot.delete",
                task=True,
            ),
            Route(
                "POST",
                "/api/vms/{id}/snapshots/{snapshot}/revert",
                self.revert,
                scope=Scope.VM_WRITE,
                summary="Bring a VM back to a snapshot",
                description="A running VM is stopped (the plug). What was written since is lost, unless another snapshot keeps "
                "it. On ZFS only the newest snapshot can be reverted to; newer ones are named, and deleted first.",
                body=Revert,
                query=Wait,
                response=VmView,
                audit="vm.snapshot.revert",
                task=True,
            ),
        )


def _asked(call: Call[B, Wait]) -> Asked:
    return Asked(principal=call.principal, request_id=call.request_id, wait_s=call.query.wait_s)
