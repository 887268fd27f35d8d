"""The cloud-init seeds of this node's VMs: `<folder>/<vm>.iso`, whole or not there."""

from pathlib import Path

from agent.blocking import BlockingPool
from agent.durable import disk_errors, sync_folder, write_whole
from agent.storage.ports import LetIn
from horcrux.compute.cloudinit import seed_iso
from horcrux.compute.vm import CloudInit
from horcrux.ids import VmId, check_name


class SeedStore:
    """Seeds hold what users gave, passwords perhaps: only root may read them (libvirt hands one to QEMU's user while it runs)."""

    def __init__(self, folder: Path, files: BlockingPool, let_qemu_in: LetIn) -> None:
        self._folder = folder
        self._files = files
        self._let_qemu_in = let_qemu_in

    def path(self, vm_id: VmId) -> Path:
        return self._folder / f"{check_name(vm_id, 'id')}.iso"

    async def write(self, vm_id: VmId, uuid: str, counter: int, name: str, wanted: CloudInit) -> Path:
        """Path of the seed, made anew. The same arguments give the same instance."""
        path = self.path(vm_id)
        await self._files.run(self._write, path, uuid, counter, name, wanted)
        return path

    async def delete(self, vm_id: VmId) -> None:
        """Gone, also when it was gone before."""
        await self._files.run(self._delete, self.path(vm_id))

    def _write(self, path: Path, uuid: str, counter: int, name: str, wanted: CloudInit) -> None:
        image = seed_iso(wanted, vm_uuid=uuid, counter=counter, hostname=name)
        with disk_errors(f"the cloud-init seed {path.name} could not be written"):
            self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._let_qemu_in(path)
            write_whole(path, image, 0o600)

    def _delete(self, path: Path) -> None:
        with disk_errors(f"the cloud-init seed {path.name} could not be removed"):
            if path.exists():
                path.unlink(missing_ok=True)
                sync_folder(self._folder)
