"""Two whole nodes on the fakes that trust each other, one with a VM on a pool of type zfs."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from agent.replication.driver import VolumeAt
from agent.replication.fake import FakeStreams
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from tests.support.api import Api
from tests.support.node import FakeHost, FakeNode, fake_node
from tests.support.waiting import until

VM = "web"
DISK = "web-disk0"
NEVER = "0 0 1 1 *"
"""A schedule that no test lives to see."""


class Side:
    """A node, what it stands on, and a client of it."""

    def __init__(self, node: FakeNode, api: Api) -> None:
        self.node = node
        self.api = api

    @property
    def streams(self) -> FakeStreams:
        drivers = self.node.host.drivers
        assert drivers is not None
        assert isinstance(drivers.streams, FakeStreams)
        return drivers.streams

    async def write(self, *blocks: int, content: bytes = b"x", volume: str = DISK, pool: str = "tank") -> None:
        for block in blocks:
            await self.streams.write(at(pool, volume), block, content)

    async def digest(self, volume: str = DISK, pool: str = "tank") -> str:
        """Of what a guest would read."""
        content = await self.streams.content(at(pool, volume))
        return hashlib.sha256(msgspec.json.encode(sorted(content.items()))).hexdigest()

    async def snapshots(self, volume: str = DISK, pool: str = "tank") -> list[str]:
        return [point.name for point in (await self.streams.points(at(pool, volume))).snapshots]

    async def bookmarks(self, volume: str = DISK, pool: str = "tank") -> list[str]:
        return [point.name for point in (await self.streams.points(at(pool, volume))).bookmarks]


class Pair:
    def __init__(self, source: Side, target: Side) -> None:
        self.source = source
        self.target = target

    async def replicate(self, **order: object) -> Any:
        """A replication of the VM; it runs when it is told to."""
        body = {"vm_id": VM, "peer": "target", "target_pool": "tank", "schedule": NEVER, **order}
        return await self.source.api.post("/api/replications", body, 201)

    async def run(self, id_: str = VM, status: int = 200, **order: object) -> Any:
        return await self.source.api.post(f"/api/replications/{id_}/run", order, status)

    async def state(self, id_: str = VM) -> Any:
        return await self.source.api.get(f"/api/replications/{id_}")

    async def halted_run(self, after: int) -> str:
        """The task of a run whose stream stands still after so many blocks."""
        self.source.streams.halt_after = after
        self.source.streams.halted.clear()
        task = await self.source.api.begin("POST", f"/api/replications/{VM}/run", {})
        await self.source.streams.halted.wait()
        self.source.streams.halt_after = None
        return task

    async def cancel(self, task: str) -> None:
        """It has ended, and its locks are free."""
        await self.source.api.delete(f"/api/tasks/{task}", status=202)
        await self.source.api.ended(task)
        await until(self.state, lambda state: state["state"] != "running")

    async def cut_run(self, after: int) -> Any:
        """A run that is cut off after so many blocks; the task as it ended."""
        task = await self.halted_run(after)
        await self.cancel(task)
        return await self.source.api.ended(task)


def at(pool: str, volume: str) -> VolumeAt:
    document = PoolDocument(
        id=PoolId(pool), name=pool, storage_type=PoolType.ZFS, node=NodeId("n0"), target="tank/vms", created_at=0.0
    )
    return VolumeAt(document, volume)


@asynccontextmanager
async def side(folder: Path, host: FakeHost | None = None) -> AsyncIterator[Side]:
    """A life of a node; the same folder and host again is the next one."""
    async with fake_node(folder, host) as node, node.session() as session:
        yield Side(node, Api(session))


async def introduce(one: Side, other: Side, one_name: str, other_name: str) -> None:
    """Each trusts the other."""
    for here, there, name in ((one, other, other_name), (other, one, one_name)):
        told = await there.api.get("/api/peers/self")
        order = {"name": name, "url": told["address"], "certificate": told["certificate"]}
        await here.api.post("/api/peers", order, 201)


@asynccontextmanager
async def pair(folder: Path, disks: Sequence[str] = ("tank",)) -> AsyncIterator[Pair]:
    """The VM has a disk of a GiB in each of these pools."""
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(side(folder / "source"))
        target = await stack.enter_async_context(side(folder / "target"))
        for each in (source, target):
            await each.api.post("/api/storage", {"id": "tank", "storage_type": "zfs", "target": "tank/vms"}, 201)
        await source.api.make(VM, disks=[{"storage_pool": pool, "size_gb": 1} for pool in disks])
        await introduce(source, target, "source", "target")
        yield Pair(source, target)
