"""Which drivers a node stands on: the only module that knows concrete ones, and imports them inside functions, so that
what runs on the fakes needs no libvirt."""

from pathlib import Path

from agent.assembly import Drivers, Ground
from agent.console.websockify import Websockify, WebsockifyUnit
from horcrux.storage.pool import PoolType


async def real_drivers(ground: Ground) -> Drivers:
    """libvirt, and websockify beside us."""
    from agent.compute.libvirt import LibvirtHypervisor
    from agent.host.reach import open_way
    from agent.storage.libvirt_pool import LibvirtPoolDriver

    settings, facts = ground.settings, ground.facts
    hypervisor = await ground.undo.enter_async_context(LibvirtHypervisor(facts, settings.libvirt_uri))
    pools = LibvirtPoolDriver(settings.libvirt_uri, facts.node_id, state_dir=ground.state.folder)
    ground.undo.push_async_callback(pools.close)
    return Drivers(
        hypervisor=hypervisor,
        keyboard=hypervisor,
        paths=hypervisor,
        pools={PoolType.DIR: pools},
        gate=await _console_gate(ground),
        let_qemu_in=open_way,
    )


async def fake_drivers(ground: Ground) -> Drivers:
    """Everything in memory: for tests without root, and for what only needs the route table."""
    from agent.compute.fake import FakeHypervisor
    from agent.storage.fake import FakeStorageDriver

    hypervisor = FakeHypervisor(ground.facts)
    return Drivers(
        hypervisor=hypervisor,
        keyboard=hypervisor,
        paths=hypervisor,
        pools={PoolType.DIR: FakeStorageDriver()},
        gate=await _console_gate(ground),
        let_qemu_in=lambda _path: None,
    )


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
