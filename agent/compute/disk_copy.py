"""Follows the copy of a running guest's disk until it is ready, or says why it never will be."""

import logging

from agent.compute.disk_ports import DiskVolumes
from agent.compute.driver import BlockJobs, DiskCopy
from agent.compute.registry import VmRegistry
from agent.tasks import TaskRun
from horcrux.clock import Clock
from horcrux.compute.vm import RunState
from horcrux.errors import Conflict, HorcruxError, NoSpace, Unavailable, Unreachable
from horcrux.ids import PoolId, VmId
from horcrux.units import MIB

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
SILENCE_S = 120.0
"""For how long the hypervisor may not answer (libvirtd is being restarted): the copy goes on without it."""
BEGUN, ENDED = 0.05, 0.9
"""Share of the whole task."""


class CopyWatch:
    def __init__(self, blocks: BlockJobs, registry: VmRegistry, volumes: DiskVolumes, clock: Clock) -> None:
        self._blocks = blocks
        self._registry = registry
        self._volumes = volumes
        self._clock = clock

    async def until_ready(self, run: TaskRun, vm_id: VmId, disk: str, pool: PoolId) -> None:
        """Conflict when the guest stopped, NoSpace when `pool` is full, Unreachable when the hypervisor falls silent,
        Unavailable when the copy ended by another error. The guest has the old disk in every case."""
        silent_since: float | None = None
        last: DiskCopy | None = None
        while True:
            try:
                copy = await self._blocks.look_at_copy(vm_id, disk)
            except Unreachable:
                silent_since = silent_since or self._clock.monotonic()
                if self._clock.monotonic() - silent_since > SILENCE_S:
                    raise
            else:
                silent_since = None
                if copy is None:
                    raise await self._why(vm_id, disk, pool, last)
                if copy.is_ready:
                    return
                last = copy
                if copy.total_bytes:
                    run.progress(BEGUN + (ENDED - BEGUN) * copy.done_bytes / copy.total_bytes)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _why(self, vm_id: VmId, disk: str, pool: PoolId, last: DiskCopy | None) -> HorcruxError:
        seen = await self._registry.look_again(vm_id)
        if seen is None or seen.state not in {RunState.RUNNING, RunState.PAUSED}:
            state = "gone" if seen is None else seen.state
            return Conflict(
                f"the guest of VM {vm_id} ended while {disk} was being copied (it is {state}); move it again"
            )
        missing = MIB if last is None else max(MIB, last.total_bytes - last.done_bytes)
        available = await self._volumes.available_bytes(pool)
        if available is not None and available < missing:
            return NoSpace(f"pool {pool} is full; {disk} of VM {vm_id} stays where it was", pool=pool)
        log.warning("VM %s: the copy of %s into pool %s ended by itself", vm_id, disk, pool)
        return Unavailable(
            f"the copy of {disk} of VM {vm_id} into pool {pool} ended by an error of the disks; it stays where it was, "
            f"and libvirt's log of the guest has the reason",
            pool=pool,
        )
