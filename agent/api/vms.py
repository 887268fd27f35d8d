"""The VM calls."""

from collections.abc import Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from agent.asked import Asked
from agent.compute.service import VmService
from agent.console.serial_log import MAX_TAIL_BYTES, SerialLogs
from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from horcrux.auth.permission import Scope
from horcrux.compute.lifecycle import Verb
from horcrux.compute.vm import RunState
from horcrux.compute.vm_bodies import NewVm, SendKeys, Shutdown, VmChange, VmListItem, VmView, Wait
from horcrux.ids import VmId
from horcrux.paging import Page, page_of
from horcrux.tasks import Task

B = TypeVar("B")
Q = TypeVar("Q")


class VmFilter(Page, frozen=True, kw_only=True):
    """`name` matches a part of name or id, whatever its case."""

    status: RunState | None = None
    tag: str | None = None
    name: str | None = None
    node: str | None = None


class DeleteVm(Wait, frozen=True, kw_only=True):
    """`force` stops a running VM first."""

    force: bool = False


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """`tail`: only the last so many bytes."""

    tail: Annotated[int, Meta(ge=1, le=MAX_TAIL_BYTES)] = 65536


class VmApi:
    def __init__(self, vms: VmService, logs: SerialLogs) -> None:
        self._vms = vms
        self._logs = logs

    async def list(self, call: Call[Nothing, VmFilter]) -> Reply:
        registry, wanted = self._vms.registry, call.query
        if wanted == VmFilter():
            return Reply(body=msgspec.Raw(registry.encoded_list()))
        items = [item for item in registry.items() if _matches(item, wanted)]
        return Reply(body=page_of(items, wanted, lambda item: item.id))

    async def get(self, call: Call[Nothing, Nothing]) -> Reply:
        view = self._vms.view(call.path["id"], call.principal)
        return Reply(body=view, revision=view.revision)

    async def create(self, call: Call[NewVm, Nothing]) -> Task:
        return await self._vms.create(call.body, _asked(call))

    async def change(self, call: Call[VmChange, Wait]) -> Task:
        return await self._vms.change(call.path["id"], call.body, call.if_match, _asked(call, call.query.wait_s))

    async def delete(self, call: Call[Nothing, DeleteVm]) -> Task:
        asked = _asked(call, call.query.wait_s)
        return await self._vms.delete(call.path["id"], call.if_match, asked, force=call.query.force)

    async def shutdown(self, call: Call[Shutdown, Wait]) -> Task:
        return await self._vms.shutdown(call.path["id"], call.body, _asked(call, call.query.wait_s))

    async def send_keys(self, call: Call[SendKeys, Nothing]) -> None:
        await self._vms.send_keys(call.path["id"], call.body)

    async def serial(self, call: Call[Nothing, Tail]) -> Reply:
        self._vms.registry.find(call.path["id"])
        return Reply(body=await self._logs.read(VmId(call.path["id"]), call.query.tail))

    def power(self, verb: Verb) -> AnyRoute:
        async def handle(call: Call[Nothing, Wait]) -> Task:
            return await self._vms.power(call.path["id"], verb, _asked(call, call.query.wait_s))

        return Route(
            "POST",
            f"/api/vms/{{id}}/{verb}",
            handle,
            scope=Scope.VM_POWER,
            summary=_POWER[verb],
            query=Wait,
            response=VmView,
            audit=f"vm.{verb}",
            task=True,
        )

    def routes(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "GET",
                "/api/vms",
                self.list,
                scope=Scope.VM_READ,
                summary="List VMs",
                query=VmFilter,
                response=list[VmListItem],
            ),
            Route(
                "POST",
                "/api/vms",
                self.create,
                scope=Scope.VM_WRITE,
                summary="Create a VM",
                body=NewVm,
                response=VmView,
                status=201,
                audit="vm.create",
                task=True,
            ),
            Route("GET", "/api/vms/{id}", self.get, scope=Scope.VM_READ, summary="Show a VM", response=VmView),
            Route(
                "PATCH",
                "/api/vms/{id}",
                self.change,
                scope=Scope.VM_WRITE,
                summary="Change a VM",
                description="What a running guest can only take at its next start is shown under `pending`.",
                body=VmChange,
                query=Wait,
                response=VmView,
                audit="vm.update",
                task=True,
            ),
            Route(
                "DELETE",
                "/api/vms/{id}",
                self.delete,
                scope=Scope.VM_WRITE,
                summary="Delete a VM with its volumes",
                query=DeleteVm,
                status=204,
                audit="vm.delete",
                task=True,
            ),
            *(self.power(verb) for verb in _POWER),
            Route(
                "POST",
                "/api/vms/{id}/shutdown",
                self.shutdown,
                scope=Scope.VM_POWER,
                summary="Ask the guest to shut down, and wait for it",
                body=Shutdown,
                query=Wait,
                response=VmView,
                audit="vm.shutdown",
                task=True,
            ),
            Route(
                "GET",
                "/api/vms/{id}/serial",
                self.serial,
                scope=Scope.VM_CONSOLE,
                summary="What the guest wrote on its serial console",
                query=Tail,
                response=str,
                content_type="text/plain",
            ),
            Route(
                "POST",
                "/api/vms/{id}/sendkeys",
                self.send_keys,
                scope=Scope.VM_CONSOLE,
                summary="Type into the guest",
                body=SendKeys,
                audit="vm.sendkeys",
            ),
        )


_POWER = {
    Verb.START: "Start a VM",
    Verb.STOP: "Stop a VM at once (the plug)",
    Verb.REBOOT: "Ask the guest to reboot",
    Verb.RESET: "Press the reset button",
    Verb.PAUSE: "Pause a VM",
    Verb.RESUME: "Resume a paused VM",
}


def _matches(item: VmListItem, wanted: VmFilter) -> bool:
    return (
        (wanted.status is None or item.status is wanted.status)
        and (wanted.tag is None or wanted.tag in item.tags)
        and (wanted.node is None or wanted.node == item.node)
        and (wanted.name is None or wanted.name.lower() in f"{item.name}\n{item.id}".lower())
    )


def _asked(call: Call[B, Q], wait_s: int = 0) -> Asked:
    return Asked(principal=call.principal, request_id=call.request_id, wait_s=wait_s)
