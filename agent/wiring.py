"""Which drivers a node stands on: the only module that knows concrete ones, and imports them inside functions, so that
what runs on the fakes needs no libvirt."""

from pathlib import Path

from agent.assembly import Drivers, Ground
from agent.console.websockify import Websockify, WebsockifyUnit
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType


async def real_drivers(ground: Ground) -> Drivers:
    """libvirt, and websockify beside us."""
    from agent.compute.libvirt import LibvirtHypervisor
    from agent.compute.libvirt_snapshots import LibvirtSnapshots
    from agent.host.reach import open_way
    from agent.storage.libvirt_pool import LibvirtPoolDriver
    from agent.storage.zfs import ZfsDriver

    settings, facts = ground.settings, ground.facts
    hypervisor = await ground.undo.enter_async_context(LibvirtHypervisor(facts, settings.libvirt_uri))
    pools = LibvirtPoolDriver(settings.libvirt_uri, facts.node_id, state_dir=ground.state.folder)
    ground.undo.push_async_callback(pools.close)
    # also where there is no ZFS: whoever makes such a pool is told then what this host lacks
    zfs = ZfsDriver(facts.node_id, mounts=ground.state.folder / "zfs")
    ground.undo.push_async_callback(zfs.close)
    return Drivers(
        hypervisor=hypervisor,
        keyboard=hypervisor,
        paths=hypervisor,
        guest_snapshots=LibvirtSnapshots(hypervisor, facts.node_id, settings.libvirt_uri),
        pools={PoolType.DIR: pools, PoolType.ZFS: zfs},
        gate=await _console_gate(ground),
        let_qemu_in=open_way,
    )


async def fake_drivers(ground: Ground) -> Drivers:
    """Everything in memory: for tests without root, and for what only needs the route table."""
    from agent.compute.fake import FakeHypervisor
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
