"""The calls about peers: who is trusted, and what to enter at the other node."""

from collections.abc import Callable, Sequence

from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from agent.peers.service import Peers
from horcrux.auth.permission import Scope
from horcrux.paging import Page, page_of
from horcrux.replication.peer import NewPeer, PeerSelf, PeerView


class PeerApi:
    """`ourself` is what this node shows of itself."""

    def __init__(self, peers: Peers, ourself: Callable[[], PeerSelf]) -> None:
        self._peers = peers
        self._ourself = ourself

    async def show_self(self, call: Call[Nothing, Nothing]) -> PeerSelf:
        return self._ourself()

    async def list(self, call: Call[Nothing, Page]) -> Reply:
        return Reply(body=page_of(await self._peers.views(), call.query, lambda peer: peer.name))

    async def get(self, call: Call[Nothing, Nothing]) -> Reply:
        view = await self._peers.view(call.path["name"])
        return Reply(body=view, revision=view.revision)

    async def create(self, call: Call[NewPeer, Nothing]) -> Reply:
        view = await self._peers.create(call.body)
        return Reply(body=view, revision=view.revision)

    async def delete(self, call: Call[Nothing, Nothing]) -> None:
        await self._peers.delete(call.path["name"], call.if_match)

    def routes(self) -> Sequence[AnyRoute]:
        return (
            Route(
                "GET",
                "/api/peers/self",
                self.show_self,
                scope=Scope.HOST_READ,
                summary="Show what to enter at another node so that it trusts this one",
                response=PeerSelf,
            ),
            Route(
                "GET",
                "/api/peers",
                self.list,
                scope=Scope.HOST_READ,
                summary="List trusted peers",
                query=Page,
                response=list[PeerView],
            ),
            Route(
                "POST",
                "/api/peers",
                self.create,
                scope=Scope.PEER_WRITE,
                summary="Trust another node",
                description="Both nodes have to trust each other: enter there what `GET /api/peers/self` shows here, and here "
                "what it shows there. The certificate is compared as a whole.",
                body=NewPeer,
                response=PeerView,
                status=201,
                audit="peer.create",
            ),
            Route(
                "GET",
                "/api/peers/{name}",
                self.get,
                scope=Scope.HOST_READ,
                summary="Show a peer, asking it whether it answers",
                response=PeerView,
            ),
            Route(
                "DELETE",
                "/api/peers/{name}",
                self.delete,
                scope=Scope.PEER_WRITE,
                summary="Trust a peer no more",
                description="Refused while a replication needs it. Replicas that it sent here stay and may be deleted.",
                status=204,
                audit="peer.delete",
            ),
        )
