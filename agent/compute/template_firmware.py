"""UEFI's variables of templates: boot entries that a guest wrote, which its clones need to find their loader.

libvirt makes a VM's file from the firmware's empty one at the first start, unless it is there; so a clone is given its file
before it is defined, and whatever is defined and undefined afterwards is libvirt's and `guest_files`' business.
"""

from pathlib import Path

from agent.blocking import BlockingPool
from agent.durable import disk_errors, sync_folder, write_whole
from horcrux.compute import template as templates
from horcrux.compute.domain import nvram_file
from horcrux.ids import VmId


class FirmwareVariables:
    """`state_dir` as in `HostFacts`. A guest that never ran has no file: then nothing is copied."""

    def __init__(self, state_dir: str, files: BlockingPool) -> None:
        self._state_dir = state_dir
        self._files = files

    async def keep(self, vm_id: VmId, template: str) -> None:
        """The template has what the VM has. Idempotent; what the template has stays when the VM's file is gone."""
        await self._files.run(self._copy, nvram_file(self._state_dir, vm_id), self._of(template))

    async def give(self, template: str, vm_id: VmId) -> None:
        """The VM has what the template has. Idempotent."""
        await self._files.run(self._copy, self._of(template), nvram_file(self._state_dir, vm_id))

    async def give_to(self, source: VmId, vm_id: VmId) -> None:
        """The VM has what the VM `source` has. Idempotent."""
        await self._files.run(self._copy, nvram_file(self._state_dir, source), nvram_file(self._state_dir, vm_id))

    async def drop(self, template: str) -> None:
        """Gone, also when it was before."""
        await self._files.run(self._drop, Path(self._of(template)))

    def _of(self, template: str) -> str:
        return templates.nvram_file(self._state_dir, template)

    def _copy(self, source: str, target: str) -> None:
        with disk_errors(f"firmware variables {target} could not be written"):
            try:
                content = Path(source).read_bytes()
            except FileNotFoundError:
                return
            Path(target).parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            write_whole(Path(target), content, 0o600)

    def _drop(self, file: Path) -> None:
        with disk_errors(f"firmware variables {file} could not be removed"):
            if file.exists():
                file.unlink(missing_ok=True)
                sync_folder(file.parent)
