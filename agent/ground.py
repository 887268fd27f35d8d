"""What a node stands on: its settings and its host, the drivers that touch the host, and what all its services share."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec

from agent.audit import AuditLog
from agent.blocking import BlockingPool
from agent.compute.driver import BlockJobs, ConsolePaths, GuestSnapshots, Hypervisor, Keyboard
from agent.console.websockify import VncGate
from agent.events import EventBus
from agent.host.probe import HostProbe, find_basis, order_of
from agent.node import NodeState
from agent.replication.driver import StreamDriver
from agent.storage.driver import StorageDriver
from agent.storage.ports import LetIn
from agent.tasks import TaskEngine
from cluster.clock import SystemClock
from horcrux.clock import Clock
from horcrux.compute.domain import HostFacts
from horcrux.config import Settings
from horcrux.ids import Entropy
from horcrux.storage.pool import PoolType
from horcrux.store import Store


class Drivers(msgspec.Struct, frozen=True, kw_only=True):
    """What touches the host: the real parts, or the fakes."""

    hypervisor: Hypervisor
    keyboard: Keyboard
    paths: ConsolePaths
    guest_snapshots: GuestSnapshots
    blocks: BlockJobs
    pools: dict[PoolType, StorageDriver]
    gate: VncGate
    let_qemu_in: LetIn
    streams: StreamDriver | None = None
    """None where there is no ZFS."""


OpenDrivers = Callable[["Ground"], Awaitable[Drivers]]
"""Opens them; what they have to close they push on `ground.undo`."""


class Ground(msgspec.Struct, kw_only=True):
    """What everything stands on."""

    settings: Settings
    state: NodeState
    clock: Clock
    entropy: Entropy
    files: BlockingPool
    probe: HostProbe
    facts: HostFacts
    undo: AsyncExitStack


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """What the services of a node are built of, beside what is their own."""

    ground: Ground
    drivers: Drivers
    store: Store
    boot: str
    """Tells this life of the agent from its others."""
    events: EventBus
    tasks: TaskEngine
    audit: AuditLog


async def lay_ground(settings: Settings, state: NodeState, undo: AsyncExitStack) -> Ground:
    """The host has been looked at. What is to be closed is on `undo`."""
    clock = SystemClock()
    files = BlockingPool("files", threads=2)
    undo.push_async_callback(asyncio.to_thread, files.close)
    order = order_of(settings, is_agent=True)
    probe = HostProbe(order, clock)
    undo.push_async_callback(asyncio.to_thread, probe.close)
    machines, has_virtlogd = await files.run(find_basis, order)
    facts = HostFacts(
        node_id=state.node_id,
        runtime_dir=f"{settings.run_dir}/{state.node_id}",
        state_dir=str(state.folder),
        machines=machines,
        has_virtlogd=has_virtlogd,
    )
    return Ground(
        settings=settings,
        state=state,
        clock=clock,
        entropy=os.urandom,
        files=files,
        probe=probe,
        facts=facts,
        undo=undo,
    )
