"""The quota calls."""

from collections.abc import Sequence

from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from agent.storage.quota_service import QuotaService
from horcrux.auth.permission import Scope
from horcrux.paging import Page, page_of
from horcrux.storage.quota import NewQuota, QuotaChange, QuotaView


class QuotaApi:
    def __init__(self, service: QuotaService) -> None:
        self._service = service

    async def list(self, call: Call[Nothing, Page]) -> Reply:
        return Reply(body=page_of(await self._service.views(), call.query, lambda quota: quota.id))

    async def get(self, call: Call[Nothing, Nothing]) -> Reply:
        return _one(await self._service.view(call.path["id"]))

    async def create(self, call: Call[NewQuota, Nothing]) -> Reply:
        return _one(await self._service.create(call.body))

    async def change(self, call: Call[QuotaChange, Nothing]) -> Reply:
        return _one(await self._service.change(call.path["id"], call.body, call.if_match))

    async def delete(self, call: Call[Nothing, Nothing]) -> None:
        await self._service.delete(call.path["id"], call.if_match)


def _one(view: QuotaView) -> Reply:
    return Reply(body=view, revision=view.revision)


def routes(service: QuotaService) -> Sequence[AnyRoute]:
    api = QuotaApi(service)
    return (
        Route(
            "GET",
            "/api/quotas",
            api.list,
            scope=Scope.STORAGE_READ,
            summary="List quotas, with what is taken of them",
            query=Page,
            response=list[QuotaView],
        ),
        Route(
            "POST",
            "/api/quotas",
            api.create,
            scope=Scope.POOL_WRITE,
            summary="Bound what may be provisioned in a pool, by a user, or by a user in a pool",
            description="What counts is what volumes may grow to. Below what is taken, nothing more can be.",
            body=NewQuota,
            response=QuotaView,
            status=201,
            audit="quota.create",
        ),
        Route(
            "GET",
            "/api/quotas/{id}",
            api.get,
            scope=Scope.STORAGE_READ,
            summary="Show a quota",
            response=QuotaView,
        ),
        Route(
            "PATCH",
            "/api/quotas/{id}",
            api.change,
            scope=Scope.POOL_WRITE,
            summary="Change the limit of a quota",
            body=QuotaChange,
            response=QuotaView,
            audit="quota.update",
        ),
        Route(
            "DELETE",
            "/api/quotas/{id}",
            api.delete,
            scope=Scope.POOL_WRITE,
            summary="Delete a quota",
            status=204,
            audit="quota.delete",
        ),
    )
