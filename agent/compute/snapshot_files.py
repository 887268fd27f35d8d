"""What a VM's snapshots keep beside its volumes: the guest's memory, and the variables of its firmware."""

import os
import shutil
from pathlib import Path

from agent.blocking import BlockingPool
from agent.durable import disk_errors, sync_folder, write_whole
from horcrux.compute.domain import nvram_file
from horcrux.ids import VmId

FOLDER_MODE, FILE_MODE = 0o700, 0o600
"""Whoever reads a guest's memory has every secret in it."""


class SnapshotFiles:
    """Below `<state>/memory/<vm>/`: `<snapshot>.save` and `<snapshot>.nvram`."""

    def __init__(self, state_dir: str, files: BlockingPool) -> None:
        self._state_dir = state_dir
        self._files = files

    def memory(self, vm_id: VmId, snapshot: str) -> str:
        """Path of the guest's memory."""
        return str(self._folder(vm_id) / f"{snapshot}.save")

    async def prepare(self, vm_id: VmId) -> None:
        """There is a folder for the VM."""
        await self._files.run(self._prepare, vm_id)

    async def memory_bytes(self, vm_id: VmId, snapshot: str) -> int:
        """What the memory takes; 0 where none is kept. It is on the disk, and nobody else can read it."""
        return await self._files.run(self._settle, Path(self.memory(vm_id, snapshot)))

    async def keep_firmware(self, vm_id: VmId, snapshot: str) -> None:
        """The firmware's variables are kept, if the guest has any."""
        await self._files.run(self._keep_firmware, vm_id, snapshot)

    async def revert_firmware(self, vm_id: VmId, snapshot: str) -> None:
        """They are as they were at the snapshot; none are there when there were none. Idempotent."""
        await self._files.run(self._revert_firmware, vm_id, snapshot)

    async def remove(self, vm_id: VmId, snapshot: str) -> None:
        """Nothing is left of the snapshot here. Idempotent."""
        await self._files.run(self._remove, vm_id, snapshot)

    async def remove_all(self, vm_id: VmId) -> None:
        """Nothing is left of the VM here. Idempotent."""
        await self._files.run(self._remove_all, vm_id)

    def _folder(self, vm_id: VmId) -> Path:
        return Path(self._state_dir) / "memory" / vm_id

    def _firmware(self, vm_id: VmId, snapshot: str) -> Path:
        return self._folder(vm_id) / f"{snapshot}.nvram"

    def _prepare(self, vm_id: VmId) -> None:
        with disk_errors(f"no snapshots of VM {vm_id} can be kept"):
            self._folder(vm_id).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    def _settle(self, path: Path) -> int:
        with disk_errors(f"the memory in {path.name} cannot be kept"):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                return 0
            try:
                os.fchmod(fd, FILE_MODE)
                os.fsync(fd)
                size_bytes = os.fstat(fd).st_blocks * 512
            finally:
                os.close(fd)
            sync_folder(path.parent)
            return size_bytes

    def _keep_firmware(self, vm_id: VmId, snapshot: str) -> None:
        variables = Path(nvram_file(self._state_dir, vm_id))
        with disk_errors(f"the firmware variables of VM {vm_id} cannot be kept"):
            if variables.exists():
                self._prepare(vm_id)
                write_whole(self._firmware(vm_id, snapshot), variables.read_bytes(), FILE_MODE)

    def _revert_firmware(self, vm_id: VmId, snapshot: str) -> None:
        variables, kept = Path(nvram_file(self._state_dir, vm_id)), self._firmware(vm_id, snapshot)
        with disk_errors(f"the firmware variables of VM {vm_id} cannot be brought back"):
            if kept.exists():
                variables.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(variables, kept.read_bytes(), FILE_MODE)  # libvirt gives it to QEMU at the start
            else:
                variables.unlink(missing_ok=True)

    def _remove(self, vm_id: VmId, snapshot: str) -> None:
        with disk_errors(f"what snapshot {snapshot} of VM {vm_id} kept cannot be deleted"):
            for path in (Path(self.memory(vm_id, snapshot)), self._firmware(vm_id, snapshot)):
                path.unlink(missing_ok=True)

    def _remove_all(self, vm_id: VmId) -> None:
        with disk_errors(f"what the snapshots of VM {vm_id} kept cannot be deleted"):
            if self._folder(vm_id).exists():
                shutil.rmtree(self._folder(vm_id))
