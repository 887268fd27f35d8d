"""Snapshots of the guests that live in memory: the ability beside `FakeHypervisor`. The conformance suite holds it to QEMU.

What a guest's memory holds is a number, `counters[vm]`: tests count it up, a restore brings it back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from agent.compute.fake import FakeHypervisor
from horcrux.compute.domain import DomainPlan
from horcrux.compute.vm import ALIVE, Disk, RunState
from horcrux.errors import AlreadyExists, Conflict, NotFound, Unavailable
from horcrux.ids import PoolId, VmId

ToVolumes = Callable[[PoolId, str, str], Awaitable[None]]
"""Called with pool, volume and snapshot."""


async def _nothing(_pool: PoolId, _volume: str, _snapshot: str) -> None:
    """For guests whose volumes nobody keeps."""


class FakeSnapshots:
    """Implements GuestSnapshots. `take` and `remove` are the storage's, where there is one: what a guest's QEMU writes into its
    volumes is found there when the guest is off."""

    def __init__(self, hypervisor: FakeHypervisor, *, take: ToVolumes = _nothing, remove: ToVolumes = _nothing) -> None:
        self._hypervisor = hypervisor
        self._take = take
        self._remove = remove
        self.agents: set[VmId] = set()
        """Guests in which an agent answers."""
        self.frozen: set[VmId] = set()
        self.freezes = self.holds = 0
        self.counters: dict[VmId, int] = {}
        self._kept: dict[tuple[VmId, str], set[str]] = {}

    async def has_agent(self, vm_id: VmId) -> bool:
        return (await self._hypervisor.look(vm_id)).state is RunState.RUNNING and vm_id in self.agents

    async def freeze(self, vm_id: VmId) -> None:
        await self._hypervisor.look(vm_id)
        if vm_id not in self.agents:
            raise Unavailable(f"{vm_id}: the guest agent does not answer")
        self.frozen.add(vm_id)
        self.freezes += 1

    async def thaw(self, vm_id: VmId) -> bool:
        await self._hypervisor.look(vm_id)
        was_frozen = vm_id in self.frozen
        self.frozen.discard(vm_id)
        return was_frozen

    async def hold(self, vm_id: VmId) -> None:
        await self._hypervisor.pause(vm_id)
        self.holds += 1

    async def release(self, vm_id: VmId) -> None:
        if (await self._hypervisor.look(vm_id)).state is RunState.PAUSED:
            await self._hypervisor.resume(vm_id)

    async def snapshot_disks(self, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
        kept = [self._kept.setdefault((vm_id, disk.volume), set()) for disk in await self._open(vm_id, disks)]
        if any(snapshot in names for names in kept):
            raise AlreadyExists(f"{vm_id}: snapshot {snapshot} already exists", vm=vm_id, snapshot=snapshot)
        for disk in await self._open(vm_id, disks):
            await self._take(disk.storage_pool, disk.volume, snapshot)
        for names in kept:
            names.add(snapshot)

    async def delete_disk_snapshots(self, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
        for disk in await self._open(vm_id, disks):
            self._kept.get((vm_id, disk.volume), set()).discard(snapshot)
            await self._remove(disk.storage_pool, disk.volume, snapshot)

    async def save_memory(self, vm_id: VmId, path: str) -> None:
        state = (await self._hypervisor.look(vm_id)).state
        if state is not RunState.PAUSED:
            raise Conflict(
                f"the memory of {vm_id} can be saved only while it is paused: it is {state}", state=str(state)
            )
        plan = self._hypervisor.plan_of(vm_id)
        content = msgspec.json.encode((plan, self.counters.get(vm_id, 0)))
        await asyncio.to_thread(Path(path).write_bytes, content)

    async def restore_memory(self, vm_id: VmId, path: str) -> None:
        if (await self._hypervisor.look(vm_id)).state in ALIVE:
            raise Conflict(f"the memory of {vm_id} can be brought back only while it is stopped", vm=vm_id)
        try:
            content = await asyncio.to_thread(Path(path).read_bytes)
            _plan, counter = msgspec.json.decode(content, type=tuple[DomainPlan, int])
        except (FileNotFoundError, msgspec.DecodeError) as err:
            raise Unavailable(f"the memory that was kept of {vm_id} cannot be used: {path}", vm=vm_id) from err
        await self._hypervisor.start(vm_id)
        self.counters[vm_id] = counter

    async def _open(self, vm_id: VmId, disks: Sequence[str]) -> list[Disk]:
        """Those disks, which its QEMU has open."""
        state = (await self._hypervisor.look(vm_id)).state
        if state not in ALIVE:
            raise Conflict(f"the disks of {vm_id} are not open in a guest: it is {state}", state=str(state))
        there = {disk.name: disk for disk in self._hypervisor.plan_of(vm_id).spec.disks}
        missing = [disk for disk in disks if disk not in there]
        if missing:
            raise NotFound(f"the guest of {vm_id} runs without {', '.join(missing)}; restart it first", vm=vm_id)
        return [there[disk] for disk in disks]
