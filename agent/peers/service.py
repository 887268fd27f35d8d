"""Peers for the API: entered, looked at, removed; and whether each can be reached.

document in the Store -> trust (contexts made anew) -> listener opens or closes; a removed peer is let in no more
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from agent.blocking import BlockingPool
from agent.events import Publisher
from agent.peers.client import PeerClient
from agent.peers.identity import PeerIdentity
from agent.peers.trust import PinnedTrust
from horcrux.auth.permission import Scope
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, HorcruxError, InUse, invalid_field
from horcrux.ids import check_name
from horcrux.if_match import check_match
from horcrux.replication.peer import (
    NewPeer,
    PeerDocument,
    PeerName,
    PeerSeen,
    PeerView,
    check_certificate,
    check_peer_url,
)
from horcrux.replication.wire import Hello
from horcrux.store import Collection, Document, Store

log = logging.getLogger("horcrux.peers")

LOOK_EVERY_S = 60
LOOK_LIMIT_S = 5
HELLO = "/peer/v1/hello"


class Peers:
    """`client` speaks to them. Other services say by `used_by` what keeps a peer from being removed."""

    def __init__(
        self, store: Store, identity: PeerIdentity, files: BlockingPool, events: Publisher, clock: Clock
    ) -> None:
        self._documents = Collection(store, "peer", PeerDocument)
        self._files = files
        self._events = events
        self._clock = clock
        self.identity = identity
        self.trust = PinnedTrust(identity)
        self.client = PeerClient(self.trust)
        self._seen: dict[PeerName, PeerSeen] = {}
        self._users: list[Callable[[PeerName], Sequence[str]]] = []
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Whom the operator entered is trusted."""
        await self._renew()

    def used_by(self, users: Callable[[PeerName], Sequence[str]]) -> None:
        """`users` names what needs a peer: `replication web`."""
        self._users.append(users)

    async def wait_changed(self) -> None:
        """Returns after the next change of who is trusted."""
        await self._changed.wait()

    def met(self, peer: PeerDocument) -> None:
        """It has called, or answered."""
        self._note(peer.name, PeerSeen(is_reachable=True, last_seen_at=self._clock.now()))

    async def views(self) -> list[PeerView]:
        """By name."""
        return [self._view(document) for document in await self._documents.list()]

    async def view(self, name: str) -> PeerView:
        """Asked just now whether it answers; NotFound."""
        document = await self._documents.get(name)
        await self._look(document.value)
        return self._view(document)

    async def create(self, order: NewPeer) -> PeerView:
        """Trusted from now on."""
        name = PeerName(check_name(order.name, "name"))
        url = check_peer_url(order.url, "url")
        certificate, fingerprint = check_certificate(order.certificate, "certificate")
        if fingerprint == self.identity.fingerprint:
            raise invalid_field("certificate", "this is this node's own; enter the other node's")
        async with self._turn:
            for peer in self.trust.peers():
                if peer.fingerprint == fingerprint:
                    words = f"this certificate is trusted already, as peer {peer.name}"
                    raise AlreadyExists(words, kind="peer", id=peer.name)
            document = PeerDocument(
                name=name, url=url, certificate=certificate, fingerprint=fingerprint, created_at=self._clock.now()
            )
            await self._documents.create(name, document)
            await self._renew()
        log.info("peer %s (%s) is trusted from now on: certificate %s", name, url, fingerprint)
        view = self._view(await self._documents.get(name))
        self._events.publish("peer", name, view, Scope.HOST_READ)
        return view

    async def delete(self, name: str, revision: int | None) -> None:
        """Not trusted any more; InUse, naming them, while replications need it."""
        found = await self._documents.get(name)
        await check_match(f"peer {name}", found, revision, lambda: self._view(found))
        users = [user for ask in self._users for user in ask(found.value.name)]
        if users:
            raise InUse(f"peer {name} is needed by {', '.join(users[:5])}; delete that first", used_by=users)
        async with self._turn:
            await self._documents.delete(name, found.revision)
            self._seen.pop(found.value.name, None)
            await self._renew()
        log.info("peer %s is not trusted any more", name)
        self._events.publish("peer", name, None, Scope.HOST_READ)

    async def follow(self) -> None:
        """Each peer is asked now and then whether it is there, until cancelled."""
        while True:
            await asyncio.gather(*(self._look(peer) for peer in self.trust.peers()))
            await self._clock.sleep(LOOK_EVERY_S)

    async def _look(self, peer: PeerDocument) -> None:
        try:
            await self.client.call(peer.name, HELLO, None, Hello, LOOK_LIMIT_S)
        except HorcruxError as err:
            before = self._seen.get(peer.name, PeerSeen())
            self._note(peer.name, msgspec.structs.replace(before, is_reachable=False, reason=str(err)))
        else:
            self.met(peer)

    def _note(self, name: PeerName, seen: PeerSeen) -> None:
        if any(peer.name == name for peer in self.trust.peers()):
            self._seen[name] = seen

    async def _renew(self) -> None:
        documents = await self._documents.list()
        await self._files.run(self.trust.replace, [document.value for document in documents])
        self._changed.set()
        self._changed = asyncio.Event()

    def _view(self, document: Document[PeerDocument]) -> PeerView:
        seen = self._seen.get(document.value.name, PeerSeen())
        return PeerView.of(document.value, document.revision, seen)
