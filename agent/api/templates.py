"""The calls of templates and clones."""

from collections.abc import Sequence
from typing import TypeVar

from agent.asked import Asked
from agent.compute.template_service import TemplateService
from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from horcrux.auth.permission import Scope
from horcrux.compute.template_bodies import CloneTemplate, CloneVm, NewTemplate, TemplateView
from horcrux.compute.vm_bodies import VmView, Wait
from horcrux.paging import Page, page_of
from horcrux.tasks import Task

B = TypeVar("B")
Q = TypeVar("Q")


class TemplateApi:
    def __init__(self, templates: TemplateService) -> None:
        self._templates = templates

    async def list(self, call: Call[Nothing, Page]) -> Reply:
        return Reply(body=page_of(self._templates.registry.views(), call.query, lambda template: template.id))

    async def get(self, call: Call[Nothing, Nothing]) -> Reply:
        view = self._templates.registry.view(call.path["id"])
        return Reply(body=view, revision=view.revision)

    async def create(self, call: Call[NewTemplate, Wait]) -> Task:
        return await self._templates.create(call.body, _asked(call, call.query.wait_s))

    async def delete(self, call: Call[Nothing, Wait]) -> Task:
        return await self._templates.delete(call.path["id"], call.if_match, _asked(call, call.query.wait_s))

    async def clone(self, call: Call[CloneTemplate, Nothing]) -> Task:
        return await self._templates.clone(call.path["id"], call.body, _asked(call))

    async def clone_vm(self, call: Call[CloneVm, Wait]) -> Task:
        return await self._templates.clone_vm(call.path["id"], call.body, _asked(call, call.query.wait_s))


def _asked(call: Call[B, Q], wait_s: int = 0) -> Asked:
    return Asked(principal=call.principal, request_id=call.request_id, wait_s=wait_s)


def routes(service: TemplateService) -> Sequence[AnyRoute]:
    """Templates, and what is cloned from them and from VMs."""
    api = TemplateApi(service)
    return (*_template_routes(api), *_clone_routes(api))


def _template_routes(api: TemplateApi) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/templates",
            api.list,
            scope=Scope.VM_READ,
            summary="List templates",
            query=Page,
            response=list[TemplateView],
        ),
        Route(
            "POST",
            "/api/templates",
            api.create,
            scope=Scope.VM_WRITE,
            summary="Make a template of a stopped VM",
            description="Its disks are copied and the VM stays, or (`keep_vm` false) it becomes the template at once. MAC "
            "addresses, the ISO image and cloud-init's user-data and network are not taken along.",
            body=NewTemplate,
            query=Wait,
            response=TemplateView,
            status=201,
            audit="template.create",
            task=True,
        ),
        Route(
            "GET",
            "/api/templates/{id}",
            api.get,
            scope=Scope.VM_READ,
            summary="Show a template",
            response=TemplateView,
        ),
        Route(
            "DELETE",
            "/api/templates/{id}",
            api.delete,
            scope=Scope.VM_WRITE,
            summary="Delete a template with its volumes",
            description="Refused, naming them, while linked clones stand on it or VMs are being made from it.",
            query=Wait,
            status=204,
            audit="template.delete",
            task=True,
        ),
    )


def _clone_routes(api: TemplateApi) -> Sequence[AnyRoute]:
    return (
        Route(
            "POST",
            "/api/templates/{id}/clone",
            api.clone,
            scope=Scope.VM_WRITE,
            summary="Make a VM from a template",
            description="A linked clone shares what it does not change with the template; a full one is a copy of its own, in "
            "any pool. UUID, MAC addresses and cloud-init's instance id are new.",
            body=CloneTemplate,
            response=VmView,
            status=201,
            audit="template.clone",
            task=True,
        ),
        Route(
            "POST",
            "/api/vms/{id}/clone",
            api.clone_vm,
            scope=Scope.VM_WRITE,
            summary="Copy a stopped VM",
            description="Its disks are copied. UUID, MAC addresses and cloud-init's instance id are new; the ISO image and "
            "cloud-init's user-data and network are not taken along.",
            body=CloneVm,
            query=Wait,
            response=VmView,
            status=201,
            audit="vm.clone",
            task=True,
        ),
    )
