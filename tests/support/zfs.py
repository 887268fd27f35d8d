"""Real zpools on files, for tests that run where ZFS is: in guests of the lab."""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from agent.storage.zfs import ZfsDriver
from agent.storage.zfs_link import ZfsLink
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType

NODE = NodeId("n0a0b0c0d")


@asynccontextmanager
async def zpool(folder: Path, *, disks: int = 1, disk_mib: int = 1024, layout: str = "") -> AsyncIterator[str]:
    """Name of a zpool of its own, on sparse files `<folder>/disk<n>`; gone afterwards."""
    name = "t" + secrets.token_hex(4)
    files = [folder / f"disk{n}" for n in range(disks)]
    for file in files:
        await sh(f"truncate -s {disk_mib}M {file}")
    await sh(f"zpool create -O mountpoint=none {name} {layout} {' '.join(map(str, files))}")
    try:
        yield name
    finally:
        await sh(f"zpool destroy -f {name} || zpool list {name} 2>&1 | grep 'no such pool'")


@asynccontextmanager
async def zfs_driver(folder: Path, *, node: NodeId = NODE, timeout_s: float = 120.0) -> AsyncIterator[ZfsDriver]:
    driver = ZfsDriver(
        node, mounts=folder / "mounts", let_qemu_in=lambda _path: None, link=ZfsLink(timeout_s=timeout_s)
    )
    try:
        yield driver
    finally:
        await driver.close()


def zfs_pool(
    target: str, name: str = "fast", *, node: NodeId = NODE, options: Mapping[str, str] | None = None
) -> PoolDocument:
    return PoolDocument(
        id=PoolId(name),
        name=name.title(),
        storage_type=PoolType.ZFS,
        node=node,
        target=target,
        created_at=1.0,
        options=dict(options or {}),
    )


async def sh(command: str) -> str:
    """What it printed; fails with what it said."""
    done = await asyncio.to_thread(subprocess.run, command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
