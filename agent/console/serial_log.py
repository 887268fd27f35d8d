"""What the guest wrote on its serial line, read from the file that QEMU writes whether anybody looks or not."""

import os
from pathlib import Path

from agent.blocking import BlockingPool
from agent.compute.driver import ConsolePaths
from horcrux.ids import VmId

MAX_TAIL_BYTES = 1 << 20
DEFAULT_TAIL_BYTES = 1 << 16


class SerialLogs:
    """Reads serial logs on the threads of `files`."""

    def __init__(self, *, paths: ConsolePaths, files: BlockingPool) -> None:
        self._paths = paths
        self._files = files

    async def read(self, vm_id: VmId, tail_bytes: int = DEFAULT_TAIL_BYTES) -> str:
        """The last `tail_bytes` (at most 1 MiB) as text; bytes that are not UTF-8 become U+FFFD. Empty before the first start."""
        return (await self.tail(vm_id, tail_bytes)).decode(errors="replace")

    async def tail(self, vm_id: VmId, tail_bytes: int) -> bytes:
        return await self._files.run(read_log, Path(self._paths.serial_log(vm_id)), tail_bytes)


def read_log(path: Path, tail_bytes: int) -> bytes:
    """The last `tail_bytes` (0 to 1 MiB, silently bounded) of `path`, and of the file it was rotated to (`.0`, as virtlogd
    names it) when it is shorter. A file that does not exist is empty. Blocks."""
    wanted = max(0, min(tail_bytes, MAX_TAIL_BYTES))
    newest = _end_of(path, wanted)
    if len(newest) < wanted:
        return _end_of(path.with_name(f"{path.name}.0"), wanted - len(newest)) + newest
    return newest


def _end_of(path: Path, size_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size_bytes))
            return file.read(size_bytes)
    except FileNotFoundError:
        return b""
