"""The storage drivers that the conformance suite runs on, each with what its kind of pool allows.

A new driver is one `Subject` in SUBJECTS.
"""

import asyncio
import secrets
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from agent.storage.driver import StorageDriver
from agent.storage.fake import FakeStorageDriver
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.volume import VOLUME_FORMATS, Volume
from horcrux.units import MIB


@dataclass(frozen=True)
class Opened:
    """A driver, and how pools for it are described: each `name` is one pool, with room for about 100 steps. Who tests opens
    and removes them; what stands below them goes with the subject."""

    driver: StorageDriver
    describe: Callable[[str], PoolDocument]


@dataclass(frozen=True)
class Subject:
    name: str
    open: Callable[[Path], AbstractAsyncContextManager[Opened]]
    """Given a folder of the test's own."""
    marks: tuple[pytest.MarkDecorator, ...] = ()
    formats: tuple[str, ...] = VOLUME_FORMATS
    step_bytes: int = MIB
    """Capacities of volumes are multiples of it."""
    is_thin: bool = True
    """An empty volume takes less than a step."""
    has_content: bool = True
    """What is written to a volume can be read again; not so in memory."""
    snapshot_format: str | None = "qcow2"
    """Of volumes that take snapshots; None where none do."""
    are_snapshots_live: bool = False
    can_revert_past_newer: bool = True
    can_clone: bool = True
    clone_format: str = "qcow2"

    @property
    def can_snapshot(self) -> bool:
        return self.snapshot_format is not None


def _folder_pool(folder: Path) -> Callable[[str], PoolDocument]:
    def describe(name: str) -> PoolDocument:
        return PoolDocument(
            id=PoolId(name),
            name=name.title(),
            storage_type=PoolType.DIR,
            node=NodeId("n00000000"),
            target=str(folder / name),
            created_at=1.0,
        )

    return describe


@asynccontextmanager
async def _fake(folder: Path) -> AsyncIterator[Opened]:
    yield Opened(FakeStorageDriver(), _folder_pool(folder))


@asynccontextmanager
async def _fake_like_zfs(folder: Path) -> AsyncIterator[Opened]:
    yield Opened(FakeStorageDriver(is_like_zfs=True), _folder_pool(folder))


@asynccontextmanager
async def _directory(folder: Path) -> AsyncIterator[Opened]:
    from agent.storage.libvirt_pool import LibvirtPoolDriver

    driver = LibvirtPoolDriver("qemu:///system", NodeId("n" + secrets.token_hex(4)))
    try:
        yield Opened(driver, _folder_pool(folder))
    finally:
        await driver.close()


@asynccontextmanager
async def _zfs(folder: Path) -> AsyncIterator[Opened]:
    from tests.support.zfs import zfs_driver, zfs_pool, zpool

    async with zpool(folder) as name, zfs_driver(folder) as driver:
        yield Opened(driver, lambda pool: zfs_pool(f"{name}/{pool}", pool))


@asynccontextmanager
async def _groups(folder: Path, *, is_thin: bool) -> AsyncIterator[Opened]:
    from agent.storage.lvm_pool import LvmPoolDriver
    from tests.support.block_pools import NODE, THIN_POOL, pool_on, volume_group

    names, driver = ("fast.ssd_1", "other"), LvmPoolDriver(NODE)
    options = {"thin_pool": THIN_POOL} if is_thin else {}
    async with AsyncExitStack() as undo:
        undo.push_async_callback(driver.close)
        groups = {name: await undo.enter_async_context(volume_group(folder, has_thin_pool=is_thin)) for name in names}
        yield Opened(driver, lambda name: pool_on(PoolType.LVM, name, groups[name], **options))


@asynccontextmanager
async def _nfs(folder: Path) -> AsyncIterator[Opened]:
    from agent.storage.libvirt_pool import LibvirtPoolDriver
    from tests.support.block_pools import NODE, exports, pool_on

    names = ("fast.ssd_1", "other")
    driver = LibvirtPoolDriver("qemu:///system", NODE, state_dir=folder / "state")
    async with AsyncExitStack() as undo:
        targets = await undo.enter_async_context(exports(folder, names))
        undo.push_async_callback(driver.close)
        yield Opened(driver, lambda name: pool_on(PoolType.NFS, name, targets[names.index(name)]))


SUBJECTS = (
    Subject(name="fake", open=_fake, has_content=False),
    Subject(
        name="fake-like-zfs",
        open=_fake_like_zfs,
        formats=("raw",),
        has_content=False,
        snapshot_format="raw",
        are_snapshots_live=True,
        can_revert_past_newer=False,
        clone_format="raw",
    ),
    Subject(name="dir", open=_directory, marks=(pytest.mark.libvirt,)),
    Subject(
        name="zfs",
        open=_zfs,
        marks=(pytest.mark.lab,),
        formats=("raw",),
        snapshot_format="raw",
        are_snapshots_live=True,
        can_revert_past_newer=False,
        clone_format="raw",
    ),
    Subject(name="nfs", open=_nfs, marks=(pytest.mark.lab,)),
    Subject(
        name="lvm",
        open=partial(_groups, is_thin=False),
        marks=(pytest.mark.lab,),
        formats=("raw",),
        step_bytes=4 * MIB,
        is_thin=False,
        snapshot_format=None,
        can_clone=False,
    ),
    Subject(
        name="lvm-thin",
        open=partial(_groups, is_thin=True),
        marks=(pytest.mark.lab,),
        formats=("raw",),
        step_bytes=4 * MIB,
        snapshot_format=None,
        clone_format="raw",
    ),
)


async def write(volume: Volume, letter: str, at: int = 0) -> None:
    """64 KiB of the volume, from byte `at`, are that letter."""
    await _qemu_io(volume, f"write -P {ord(letter)} {at} 64k")


async def holds(volume: Volume, letter: str, at: int = 0) -> bool:
    """Whether they are; a NUL for what was never written."""
    return "verification failed" not in await _qemu_io(volume, f"read -P {ord(letter)} {at} 64k", "-r")


async def _qemu_io(volume: Volume, command: str, *flags: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run,
        ["qemu-io", *flags, "-f", volume.format, "-c", command, volume.path],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "an't open" not in done.stderr + done.stdout, done.stderr + done.stdout
    return done.stdout + done.stderr
