"""A whole node on the fakes: the same services, routes and server as ever, without libvirt and without root."""

import asyncio
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import msgspec

from agent.assembly import Node, open_node
from agent.compute.fake import FakeHypervisor
from agent.ground import Drivers, Ground
from agent.node import NodeState
from agent.storage.fake import FakeStorageDriver
from agent.wiring import fake_drivers
from horcrux.config import Settings
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from tests.support.agent_process import PASSWORD, free_port


class FakeHost:
    """What outlives an agent: guests and volumes. Hand the same one to the next life of a node."""

    def __init__(self) -> None:
        self.drivers: Drivers | None = None

    async def open(self, ground: Ground) -> Drivers:
        fresh = await fake_drivers(ground)
        self.drivers = msgspec.structs.replace(self.drivers or fresh, gate=fresh.gate)
        return self.drivers

    @property
    def hypervisor(self) -> FakeHypervisor:
        assert self.drivers is not None
        assert isinstance(self.drivers.hypervisor, FakeHypervisor)
        return self.drivers.hypervisor

    @property
    def storage(self) -> FakeStorageDriver:
        assert self.drivers is not None
        driver = self.drivers.pools[PoolType.DIR]
        assert isinstance(driver, FakeStorageDriver)
        return driver


class FakeNode:
    """A node that serves, and the hypervisor below it."""

    def __init__(self, node: Node, host: FakeHost, folder: Path) -> None:
        self.node = node
        self.url = node.url
        self.host = host
        self.folder = folder
        self.hypervisor = host.hypervisor

    async def remove_volume(self, pool: str, name: str) -> None:
        """Somebody deleted the file behind our back."""
        await self.host.storage.delete_volume(pool_named(pool), name)

    @contextmanager
    def broken_deletion(self, volume: str) -> Iterator[None]:
        """That volume cannot be deleted while this lasts."""
        self.host.storage.undeletable.add(volume)
        yield
        self.host.storage.undeletable.discard(volume)

    async def sign_in(self, username: str = "admin", password: str = PASSWORD) -> str:
        """A bearer token."""
        order = {"username": username, "password": password}
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.post("/api/auth/login", json=order) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return str((await answer.json())["token"])

    @asynccontextmanager
    async def session(self, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
        """A client; signed in as admin unless a token is given."""
        headers = {"Authorization": f"Bearer {token or await self.sign_in()}"}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            yield session


@asynccontextmanager
async def fake_node(
    folder: Path, host: FakeHost | None = None, *, port: int | None = None, stop_patience_s: int = 20
) -> AsyncIterator[FakeNode]:
    """A node with user `admin`, without rate limits, with its state below `folder`. Its sockets lie in a folder of their own
    whose path is short: a socket's path holds 107 bytes, and pytest's folders are deep where tests run side by side."""
    run_dir = await asyncio.to_thread(tempfile.mkdtemp, prefix="hx-", dir="/tmp")
    settings = Settings(
        state_dir=str(folder / "state"),
        run_dir=run_dir,
        listen=f"127.0.0.1:{port or await asyncio.to_thread(free_port)}",
        peer_listen=f"127.0.0.1:{await asyncio.to_thread(free_port)}",
        stop_patience_s=stop_patience_s,
        node_name="testnode",
        admin_password=PASSWORD,
        rate_limit="off",
    )
    host = host or FakeHost()
    try:
        state = await asyncio.to_thread(NodeState.open, Path(settings.state_dir), settings.node_name, os.urandom)
        try:
            async with open_node(settings, state, host.open) as node:
                yield FakeNode(node, host, folder)
        finally:
            state.close()
    finally:
        await asyncio.to_thread(shutil.rmtree, run_dir)


@contextmanager
def fake_node_in_thread(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and bearer token of a node whose loop runs on a thread of its own, for clients that block."""
    ready: list[tuple[str, str]] = []
    is_up, loop_of = threading.Event(), []
    stop = asyncio.Event()

    async def serve() -> None:
        async with fake_node(folder) as node:
            ready.append((node.url, await node.sign_in()))
            loop_of.append(asyncio.get_running_loop())
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="fake node")
    thread.start()
    try:
        assert is_up.wait(30), "the node did not come up"
        yield ready[0]
    finally:
        if loop_of:
            loop_of[0].call_soon_threadsafe(stop.set)
        thread.join()


def pool_named(pool: str) -> PoolDocument:
    """What the fake driver has to be told of a pool: its id."""
    return PoolDocument(
        id=PoolId(pool), name=pool, storage_type=PoolType.DIR, node=NodeId("n0"), target="/nowhere", created_at=0.0
    )
