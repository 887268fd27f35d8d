"""Which drivers a node stands on: the only module that knows concrete ones, and imports them inside functions, so that
what runs on the fakes needs no libvirt."""

from pathlib import Path
from typing import Protocol

from agent.console.websockify import Websockify, WebsockifyUnit
from agent.ground import Drivers, Ground
from agent.replication.driver import StreamDriver
from agent.storage.driver import StorageDriver
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType


async def real_drivers(ground: Ground) -> Drivers:
    """libvirt, and websockify beside us."""
    from agent.compute.libvirt import LibvirtHypervisor
    from agent.compute.libvirt_blocks import LibvirtBlockJobs
    from agent.compute.libvirt_snapshots import LibvirtSnapshots
    from agent.host.reach import open_way

    settings, facts = ground.settings, ground.facts
    pools = _real_pools(ground)
    hypervisor = await ground.undo.enter_async_context(LibvirtHypervisor(facts, settings.libvirt_uri))
    return Drivers(
        hypervisor=hypervisor,
        keyboard=hypervisor,
        paths=hypervisor,
        guest_snapshots=LibvirtSnapshots(hypervisor, facts.node_id, settings.libvirt_uri),
        blocks=LibvirtBlockJobs(hypervisor),
        pools=pools,
        streams=_real_streams(pools, facts.node_id),
        gate=await _console_gate(ground),
        let_qemu_in=open_way,
    )


def _real_streams(pools: dict[PoolType, StorageDriver], node: NodeId) -> StreamDriver | None:
    from agent.replication.zfs import ZfsVolumeStreams
    from agent.storage.zfs import ZfsDriver

    zfs = pools.get(PoolType.ZFS)
    return ZfsVolumeStreams(zfs.streams, node) if isinstance(zfs, ZfsDriver) else None


class _Closable(StorageDriver, Protocol):
    async def close(self) -> None: ...


def _real_pools(ground: Ground) -> dict[PoolType, StorageDriver]:
    """All types, also those that this host has no programs for: whoever makes such a pool is told then what to install."""
    from agent.storage.libvirt_iscsi import IscsiPoolDriver
    from agent.storage.libvirt_pool import LibvirtPoolDriver
    from agent.storage.libvirt_rbd import RbdPoolDriver
    from agent.storage.lvm_pool import LvmPoolDriver
    from agent.storage.zfs import ZfsDriver

    uri, node, folder = ground.settings.libvirt_uri, ground.facts.node_id, ground.state.folder
    drivers: dict[PoolType, _Closable] = {
        PoolType.DIR: LibvirtPoolDriver(uri, node, state_dir=folder),
        PoolType.NFS: LibvirtPoolDriver(uri, node, state_dir=folder),
        PoolType.LVM: LvmPoolDriver(node),
        PoolType.ISCSI: IscsiPoolDriver(uri, node),
        PoolType.RBD: RbdPoolDriver(uri, node),
        PoolType.ZFS: ZfsDriver(node, mounts=folder / "zfs"),
    }
    for driver in drivers.values():
        ground.undo.push_async_callback(driver.close)
    return {**drivers}


async def fake_drivers(ground: Ground) -> Drivers:
    """Everything in memory: for tests without root, and for what only needs the route table."""
    from agent.compute.fake import FakeHypervisor
    from agent.compute.fake_blocks import FakeBlockJobs
    from agent.compute.fake_snapshots import FakeSnapshots
    from agent.replication.fake import FakeStreams
    from agent.storage.fake import FakeStorageDriver

    hypervisor = FakeHypervisor(ground.facts)
    storage = FakeStorageDriver()
    streams = FakeStreams(storage, ground.entropy)

    async def take(pool: PoolId, volume: str, snapshot: str) -> None:
        document = _fake_pool(pool)
        await storage.snapshots(document).snapshot_volumes(document, [volume], snapshot)

    async def remove(pool: PoolId, volume: str, snapshot: str) -> None:
        document = _fake_pool(pool)
        await storage.snapshots(document).delete_snapshot(document, volume, snapshot)

    return Drivers(
        hypervisor=hypervisor,
        keyboard=hypervisor,
        paths=hypervisor,
        guest_snapshots=FakeSnapshots(hypervisor, take=take, remove=remove),
        blocks=FakeBlockJobs(hypervisor, storage.grow_at),
        pools={PoolType.DIR: storage, PoolType.ZFS: storage},
        streams=streams,
        gate=await _console_gate(ground),
        let_qemu_in=lambda _path: None,
    )


def _fake_pool(pool: PoolId) -> PoolDocument:
    """What a fake guest knows of the pool that its disk is in: its id, which is all that the fake driver asks for."""
    return PoolDocument(id=pool, name=pool, storage_type=PoolType.DIR, node=NodeId(""), target="", created_at=0.0)


async def _console_gate(ground: Ground) -> Websockify | WebsockifyUnit:
    settings, run_dir = ground.settings, Path(ground.facts.runtime_dir)
    if settings.websockify_socket:
        socket = Path(settings.websockify_socket)
        unit = WebsockifyUnit(
            socket=socket, key_file=socket.with_name("console.pub"), clock=ground.clock, files=ground.files
        )
        return await ground.undo.enter_async_context(unit)
    own = Websockify(
        folder=run_dir / "console",
        key_file=run_dir / "console.pub",
        user=None,
        clock=ground.clock,
        files=ground.files,
    )
    return await ground.undo.enter_async_context(own)
