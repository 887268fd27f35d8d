"""What the guest wrote on its serial line, read from the file that QEMU writes whether anybody looks or not."""

import os
from pathlib import Path

import msgspec

from agent.blocking import BlockingPool
from agent.compute.driver import ConsolePaths
from horcrux.ids import VmId

MAX_TAIL_BYTES = 1 << 20
DEFAULT_TAIL_BYTES = 1 << 16


class LogMark(msgspec.Struct, frozen=True):
    """A place in a log: the file as it was then (a guest's start or a rotation makes another one), and its length."""

    file: tuple[int, int]
    size_bytes: int


NO_MARK = LogMark((0, 0), 0)


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

    async def mark(self, vm_id: VmId) -> LogMark:
        """Where the log ends now."""
        return await self._files.run(_mark, Path(self._paths.serial_log(vm_id)))

    async def since(self, vm_id: VmId, mark: LogMark, at_most_bytes: int) -> bytes:
        """What was written since `mark`, its last `at_most_bytes` when it is more; all of a file that was begun since."""
        return await self._files.run(_since, Path(self._paths.serial_log(vm_id)), mark, at_most_bytes)


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


def _mark(path: Path) -> LogMark:
    try:
        found = path.stat()
    except FileNotFoundError:
        return NO_MARK
    return LogMark((found.st_dev, found.st_ino), found.st_size)


def _since(path: Path, mark: LogMark, at_most_bytes: int) -> bytes:
    now = _mark(path)
    grown = now.size_bytes - mark.size_bytes
    is_longer = now.file == mark.file and grown >= 0
    return _end_of(path, min(grown if is_longer else now.size_bytes, at_most_bytes))
