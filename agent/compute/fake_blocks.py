"""Block jobs of the hypervisor in memory (`fake.py`): copies that take as many looks as a test wants, and that can fail."""

from collections.abc import Callable

import msgspec

from agent.compute.driver import DiskCopy
from agent.compute.fake import FakeHypervisor, is_alive
from horcrux.compute.domain import DomainDisk
from horcrux.errors import Conflict, NotFound
from horcrux.ids import VmId
from horcrux.storage.network_source import without_options

TOTAL_BYTES = 1024**3
"""What every copy has to do, in this world."""


class _Copy(msgspec.Struct, frozen=True):
    target: DomainDisk
    since: float | None
    looks: int = 0


class FakeBlockJobs:
    """Implements BlockJobs. `grow_file` is told the path and the new size of a file that a guest's disk grows in: what lies
    there is the storage driver's. `looks`: a copy is ready at the so-manieth look at it."""

    def __init__(
        self,
        hypervisor: FakeHypervisor,
        grow_file: Callable[[str, int], None] = lambda _path, _bytes: None,
        *,
        looks: int = 2,
    ) -> None:
        self._hypervisor = hypervisor
        self._grow_file = grow_file
        self.looks = looks
        self._copies: dict[tuple[VmId, str], _Copy] = {}
        self.sizes: dict[tuple[VmId, str], int] = {}
        """What guests have been told of the size of their disks."""

    async def disk_path(self, vm_id: VmId, disk: str) -> str:
        return without_options(self._disk(vm_id, disk).path)

    async def start_copy(self, vm_id: VmId, disk: str, target: DomainDisk) -> None:
        self._disk(vm_id, disk)
        since = await self._require_life(vm_id)
        if await self.look_at_copy(vm_id, disk) is not None:
            raise Conflict(f"{disk} of {vm_id} is being copied already")
        self._copies[vm_id, disk] = _Copy(target, since)

    async def look_at_copy(self, vm_id: VmId, disk: str) -> DiskCopy | None:
        self._disk(vm_id, disk)
        copy = self._copies.get((vm_id, disk))
        seen = await self._hypervisor.look(vm_id)
        if copy is None or not is_alive(seen.state) or seen.since != copy.since:
            self._copies.pop((vm_id, disk), None)
            return None
        looks = min(copy.looks + 1, self.looks)
        self._copies[vm_id, disk] = msgspec.structs.replace(copy, looks=looks)
        done = TOTAL_BYTES * looks // self.looks
        return DiskCopy(done_bytes=done, total_bytes=TOTAL_BYTES, is_ready=looks == self.looks)

    async def switch(self, vm_id: VmId, disk: str) -> None:
        await self._require_life(vm_id)
        copy = self._copies.get((vm_id, disk))
        if copy is None or copy.looks < self.looks:
            raise Conflict(f"no copy of {disk} of {vm_id} is ready")
        del self._copies[vm_id, disk]
        self._hypervisor.replace_disk(vm_id, copy.target)

    async def drop_copy(self, vm_id: VmId, disk: str) -> None:
        self._disk(vm_id, disk)
        self._copies.pop((vm_id, disk), None)

    async def grow_disk(self, vm_id: VmId, disk: str, capacity_bytes: int) -> None:
        path = self._disk(vm_id, disk).path
        await self._require_life(vm_id)
        self._grow_file(path, capacity_bytes)
        self.sizes[vm_id, disk] = capacity_bytes

    def has_copy(self, vm_id: VmId, disk: str) -> bool:
        """Whether one is under way, as far as anybody has looked."""
        return (vm_id, disk) in self._copies

    def fail_copy(self, vm_id: VmId, disk: str) -> None:
        """The copy ends by an error, as when the target is full."""
        del self._copies[vm_id, disk]

    def _disk(self, vm_id: VmId, disk: str) -> DomainDisk:
        for one in self._hypervisor.disks_of(vm_id):
            if one.name == disk:
                return one
        raise NotFound(f"VM {vm_id} has no disk {disk}", vm=vm_id, disk=disk)

    async def _require_life(self, vm_id: VmId) -> float | None:
        """Since when it runs."""
        seen = await self._hypervisor.look(vm_id)
        if not is_alive(seen.state):
            raise Conflict(f"VM {vm_id} does not run: it is {seen.state}", state=str(seen.state))
        return seen.since
