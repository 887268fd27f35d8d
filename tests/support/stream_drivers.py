"""The stream drivers that the conformance suite runs on, each with hands to write and read volumes as guests do."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from agent.replication.driver import StreamDriver, VolumeAt
from agent.replication.fake import FakeStreams
from agent.replication.fake_volume import BLOCK_BYTES
from agent.storage.driver import StorageDriver
from agent.storage.fake import FakeStorageDriver
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.units import MIB

SIZE_BYTES = 64 * MIB


class StreamBench(Protocol):
    """`here` and `there` are two pools."""

    @property
    def streams(self) -> StreamDriver: ...

    @property
    def storage(self) -> StorageDriver: ...

    @property
    def here(self) -> PoolDocument: ...

    @property
    def there(self) -> PoolDocument: ...

    async def write(self, volume: VolumeAt, block: int, count: int = 1) -> None:
        """So many blocks of 4 KiB of chance, from that one on."""
        ...

    async def digest(self, volume: VolumeAt) -> str:
        """Of all that a guest would read."""
        ...

    async def make_writable(self, volume: VolumeAt) -> None:
        """An operator overrules us."""
        ...


class FakeBench:
    def __init__(self) -> None:
        self.storage = FakeStorageDriver()
        self.streams = FakeStreams(self.storage, os.urandom)
        self.here, self.there = (
            PoolDocument(
                id=PoolId(name),
                name=name,
                storage_type=PoolType.ZFS,
                node=NodeId("n0"),
                target=f"t/{name}",
                created_at=0,
            )
            for name in ("here", "there")
        )

    async def write(self, volume: VolumeAt, block: int, count: int = 1) -> None:
        for number in range(block, block + count):
            await self.streams.write(volume, number, os.urandom(BLOCK_BYTES))

    async def digest(self, volume: VolumeAt) -> str:
        content = await self.streams.content(volume)
        return hashlib.sha256(msgspec.json.encode(sorted(content.items()))).hexdigest()

    async def make_writable(self, volume: VolumeAt) -> None:
        await self.streams.make_writable(volume)


@asynccontextmanager
async def fake_bench(_folder: Path) -> AsyncIterator[StreamBench]:
    bench = FakeBench()
    for pool in (bench.here, bench.there):
        await bench.storage.open(pool)
    yield bench


@asynccontextmanager
async def zfs_bench(folder: Path) -> AsyncIterator[StreamBench]:
    from agent.replication.zfs import ZfsVolumeStreams
    from tests.support.zfs import NODE, sh, zfs_driver, zfs_pool, zpool

    class ZfsBench:
        def __init__(self, storage: StorageDriver, streams: StreamDriver, name: str) -> None:
            self.storage = storage
            self.streams = streams
            self.here, self.there = (zfs_pool(f"{name}/{each}", each) for each in ("here", "there"))

        async def write(self, volume: VolumeAt, block: int, count: int = 1) -> None:
            device = await self._device(volume)
            words = f"bs={BLOCK_BYTES} seek={block} count={count} iflag=fullblock conv=notrunc,fsync status=none"
            await sh(f"dd if=/dev/urandom of={device} {words}")

        async def digest(self, volume: VolumeAt) -> str:
            return (await sh(f"sha256sum < {await self._device(volume)}")).split()[0]

        async def make_writable(self, volume: VolumeAt) -> None:
            await sh(f"zfs set readonly=off {volume.pool.target}/{volume.name}")

        async def _device(self, volume: VolumeAt) -> str:
            path = f"/dev/zvol/{volume.pool.target}/{volume.name}"
            await sh(f"udevadm settle --timeout=60 --exit-if-exists={path}; test -b {path}")
            return path

    async with zpool(folder, disk_mib=2048) as name, zfs_driver(folder) as driver:
        bench = ZfsBench(driver, ZfsVolumeStreams(driver.streams, NODE), name)
        for pool in (bench.here, bench.there):
            await driver.open(pool)
        yield bench
        for pool in (bench.here, bench.there):
            await driver.remove(pool)
