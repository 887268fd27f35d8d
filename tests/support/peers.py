"""Nodes that know each other only by the peers' channel, over real TLS on loopback."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from agent.blocking import BlockingPool
from agent.peers.identity import open_identity
from agent.peers.listener import PeerListener
from agent.peers.route import PeerRoute, peer_app
from agent.peers.service import Peers
from cluster.clock import SystemClock
from cluster.store.memory import MemoryStore
from horcrux.ids import NodeId
from horcrux.replication.peer import NewPeer
from tests.support.auth import Heard
from tests.support.waiting import eventually


class PeerBench:
    """One node's end of the channel; it listens on a free port of loopback as soon as somebody is trusted."""

    def __init__(self, peers: Peers, listener: PeerListener) -> None:
        self.peers = peers
        self.listener = listener

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.listener.port}"

    async def trust(self, name: str, other: "PeerBench", url: str | None = None) -> None:
        order = NewPeer(name=name, url=url or "https://127.0.0.1:1", certificate=other.peers.identity.certificate)
        await self.peers.create(order)


@asynccontextmanager
async def peer_bench(
    folder: Path, routes: Sequence[PeerRoute] = (), store: MemoryStore | None = None, node: str = "n0000000a"
) -> AsyncIterator[PeerBench]:
    clock = SystemClock()
    files = BlockingPool("files")
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    identity = await files.run(open_identity, folder, NodeId(node))
    peers = Peers(store or MemoryStore(clock), identity, files, Heard(), clock)
    await peers.start()
    app = peer_app(routes, peers.trust, peers.met)
    listener = PeerListener(app, peers.trust, peers, clock, host="127.0.0.1", port=0)
    following = asyncio.create_task(listener.follow())
    try:
        yield PeerBench(peers, listener)
    finally:
        following.cancel()
        await asyncio.wait([following])
        await asyncio.to_thread(files.close)


async def introduce(one: PeerBench, other: PeerBench) -> None:
    """Each trusts the other, as `one` and `other`."""
    await other.trust("one", one)
    await eventually(lambda: other.listener.is_listening)
    await one.trust("other", other, other.url)
    await eventually(lambda: one.listener.is_listening)


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    from_: str = ""
