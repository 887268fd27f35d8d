"""The replication calls."""

from collections.abc import Sequence
from typing import TypeVar

from agent.asked import Asked
from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from agent.replication.service import Replications
from horcrux.auth.permission import Scope
from horcrux.paging import Page, page_of
from horcrux.replication.bodies import (
    EndReplication,
    NewReplication,
    ReplicationChange,
    ReplicationView,
    RunReplication,
)
from horcrux.tasks import Task

B = TypeVar("B")
Q = TypeVar("Q")


class ReplicationApi:
    def __init__(self, replications: Replications) -> None:
        self._replications = replications

    async def list(self, call: Call[Nothing, Page]) -> Reply:
        return Reply(body=page_of(self._replications.views(), call.query, lambda each: each.id))

    async def get(self, call: Call[Nothing, Nothing]) -> Reply:
        return _reply(self._replications.view(call.path["id"]))

    async def create(self, call: Call[NewReplication, Nothing]) -> Reply:
        return _reply(await self._replications.create(call.body))

    async def change(self, call: Call[ReplicationChange, Nothing]) -> Reply:
        return _reply(await self._replications.change(call.path["id"], call.body, call.if_match))

    async def delete(self, call: Call[Nothing, EndReplication]) -> Task:
        return await self._replications.delete(call.path["id"], call.query, call.if_match, _asked(call))

    async def run(self, call: Call[RunReplication, Nothing]) -> Task:
        return await self._replications.run(call.path["id"], call.body, _asked(call))

    def routes(self) -> Sequence[AnyRoute]:
        return (*self._documents(), *self._works())

    def _documents(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "GET",
                "/api/replications",
                self.list,
                scope=Scope.STORAGE_READ,
                summary="List replications with their state",
                query=Page,
                response=list[ReplicationView],
            ),
            Route(
                "POST",
                "/api/replications",
                self.create,
                scope=Scope.STORAGE_WRITE,
                summary="Replicate a VM's volumes to a peer",
                description="Every disk of the VM must lie in a ZFS pool. The schedule is a cron expression in UTC.",
                body=NewReplication,
                response=ReplicationView,
                status=201,
                audit="replication.create",
            ),
            Route(
                "GET",
                "/api/replications/{id}",
                self.get,
                scope=Scope.STORAGE_READ,
                summary="Show a replication with its state",
                response=ReplicationView,
            ),
            Route(
                "PATCH",
                "/api/replications/{id}",
                self.change,
                scope=Scope.STORAGE_WRITE,
                summary="Change a replication's schedule or limit, or switch it on or off",
                body=ReplicationChange,
                response=ReplicationView,
                audit="replication.update",
            ),
        )

    def _works(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "DELETE",
                "/api/replications/{id}",
                self.delete,
                scope=Scope.STORAGE_WRITE,
                summary="End a replication",
                description="Its snapshots and bookmarks go. The replica stays at the peer, unless `delete_replica` is set.",
                query=EndReplication,
                status=204,
                audit="replication.delete",
                task=True,
            ),
            Route(
                "POST",
                "/api/replications/{id}/run",
                self.run,
                scope=Scope.STORAGE_WRITE,
                summary="Replicate now",
                description="Goes on where an earlier run was cut off. With `afresh` the replica at the peer is deleted first.",
                body=RunReplication,
                response=ReplicationView,
                audit="replication.run",
                task=True,
            ),
        )


def _reply(view: ReplicationView) -> Reply:
    return Reply(body=view, revision=view.revision)


def _asked(call: Call[B, Q]) -> Asked:
    return Asked(principal=call.principal, request_id=call.request_id)
