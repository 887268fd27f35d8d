"""The disks' part of a VM's snapshots: who takes, deletes and brings back which.

Pools whose snapshots are live (ZFS) always do it themselves. Of qcow2 files that a guest has open only that guest's QEMU may,
and it takes all of them at one time; the pool does it for a guest that does not run.
"""

from collections.abc import Mapping, Sequence

import msgspec

from agent.compute.driver import GuestSnapshots, Hypervisor
from agent.compute.ports import DiskSnapshots
from horcrux.compute.vm import ALIVE, Disk, VmDocument, VmSpec
from horcrux.errors import AlreadyExists, Conflict, InUse, NotFound
from horcrux.ids import PoolId, VmId


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """A VM's disks by who takes their snapshots: `live` and `still` by pool, `by_guest` by the guest's QEMU."""

    live: Mapping[PoolId, Sequence[Disk]]
    still: Mapping[PoolId, Sequence[Disk]]
    by_guest: Sequence[Disk]

    @property
    def moments(self) -> int:
        """How many times they are taken at: beyond one, a guest that writes has to stand still."""
        return len(self.live) + len(self.still) + bool(self.by_guest)


class SnapshotDisks:
    def __init__(self, volumes: DiskSnapshots, hypervisor: Hypervisor, guests: GuestSnapshots) -> None:
        self._volumes = volumes
        self._hypervisor = hypervisor
        self._guests = guests

    async def parts(self, vm_id: VmId, spec: VmSpec) -> Parts:
        """As the guest is now. Conflict, naming the disk, for a format that keeps no snapshots; HostLacks for such a pool."""
        is_active = await self.is_active(vm_id)
        live: dict[PoolId, list[Disk]] = {}
        files: dict[PoolId, list[Disk]] = {}
        for disk in spec.disks:
            if await self._volumes.are_live(disk.storage_pool):
                live.setdefault(disk.storage_pool, []).append(disk)
            elif disk.format != "qcow2":
                words = (
                    f"{disk.name} of VM {vm_id} is {disk.format} in pool {disk.storage_pool}, which keeps no snapshots"
                )
                raise Conflict(f"{words}; move it to a qcow2 volume or to a ZFS pool", disk=disk.name)
            else:
                files.setdefault(disk.storage_pool, []).append(disk)
        by_guest = [disk for disks in files.values() for disk in disks] if is_active else []
        return Parts(live=live, still={} if is_active else files, by_guest=by_guest)

    async def is_active(self, vm_id: VmId) -> bool:
        """Whether a QEMU has the disks open."""
        try:
            return (await self._hypervisor.look(vm_id)).state in ALIVE
        except NotFound:
            return False

    async def check_free(self, spec: VmSpec, snapshot: str) -> None:
        """AlreadyExists when a volume has a snapshot of that name that is not ours: it would be taken for ours afterwards."""
        for disk in spec.disks:
            if snapshot in await self._names(disk):
                words = f"volume {disk.volume} of pool {disk.storage_pool} has a snapshot {snapshot} already, made by others"
                raise AlreadyExists(f"{words}; choose another name", volume=disk.volume, snapshot=snapshot)

    async def check_can_revert(self, spec: VmSpec, snapshot: str) -> None:
        """NotFound when a volume has lost it; Conflict, naming them, when newer ones stand in the way of a live pool."""
        for disk in spec.disks:
            names = await self._names(disk)
            where = f"volume {disk.volume} of pool {disk.storage_pool}"
            if snapshot not in names:
                words = f"{where} has no snapshot {snapshot} any more: it was deleted by others"
                raise NotFound(words, volume=disk.volume, snapshot=snapshot)
            newer = names[names.index(snapshot) + 1 :]
            if newer and await self._volumes.are_live(disk.storage_pool):
                words = (
                    f"{where} goes back to its newest snapshot only, and {snapshot} is older than {', '.join(newer)}"
                )
                raise Conflict(f"{words}; delete those first", volume=disk.volume, snapshots=newer)

    async def check_no_clones(self, spec: VmSpec, snapshot: str) -> None:
        """InUse, naming them, when linked clones stand on a volume."""
        for disk in spec.disks:
            clones = await self._volumes.clones(disk.storage_pool, disk.volume)
            if clones:
                words = f"cannot delete snapshot {snapshot}: linked clones stand on volume {disk.volume}: {', '.join(clones)}"
                raise InUse(words, volume=disk.volume, clones=clones)

    async def take(self, vm_id: VmId, parts: Parts, snapshot: str) -> None:
        """Every disk has it; the guest's own first, since that is the only one which can take long."""
        if parts.by_guest:
            await self._guests.snapshot_disks(vm_id, [disk.name for disk in parts.by_guest], snapshot)
        for pool, disks in (*parts.live.items(), *parts.still.items()):
            await self._volumes.take(pool, [disk.volume for disk in disks], snapshot)

    async def remove(self, vm_id: VmId, spec: VmSpec, snapshot: str) -> None:
        """No disk has it. Idempotent."""
        parts = await self.parts(vm_id, spec)
        if parts.by_guest:
            await self._guests.delete_disk_snapshots(vm_id, [disk.name for disk in parts.by_guest], snapshot)
        for pool, disks in (*parts.live.items(), *parts.still.items()):
            for disk in disks:
                await self._volumes.remove(pool, disk.volume, snapshot)

    async def revert(self, disk: Disk, snapshot: str) -> None:
        """The disk, which no guest has open, is as it was. Idempotent."""
        await self._volumes.revert(disk.storage_pool, disk.volume, snapshot)

    async def settle(self, disk: Disk) -> None:
        """What the disk takes of quotas is its size. Idempotent; nothing when its volume is gone."""
        await self._volumes.settle(disk.storage_pool, disk.volume)

    async def used_bytes(self, document: VmDocument) -> Mapping[str, int]:
        """What each snapshot of the VM keeps on its disks, as far as the pools can tell."""
        used: dict[str, int] = {}
        for disk in document.spec.disks:
            for kept in await self._volumes.of(disk.storage_pool, disk.volume):
                if kept.used_bytes is not None:
                    used[kept.name] = used.get(kept.name, 0) + kept.used_bytes
        return used

    async def _names(self, disk: Disk) -> list[str]:
        return [kept.name for kept in await self._volumes.of(disk.storage_pool, disk.volume)]
