"""How ZFS is called: its library on threads of its own for each zpool, its commands as children.

A zpool whose disks are gone lets its callers wait for ever inside the kernel, where nothing can end them. So no zpool shares
a thread with another, every call has a time, and once a call is stuck its zpool is refused at once until the call comes back.
What the kernel keeps in /proc/spl tells, without any lock, whether a zpool is imported, and whether it is suspended.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from agent.blocking import BlockingPool
from agent.host.outside import outside
from agent.storage import zfs_library
from horcrux.errors import AlreadyExists, HorcruxError, HostLacks, InUse, NoSpace, NotFound, Unavailable, Unreachable
from horcrux.storage.zfs import zpool_of

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 60.0
"""A snapshot of a busy zpool waits for its transaction group: seconds on slow disks."""
THREADS = 4
"""Of each zpool: a call that lasts does not keep the others waiting."""
GIVEN_UP_S = 2.0
"""How long a killed command may take to go; one that hangs in the kernel does not."""
KSTAT = Path("/proc/spl/kstat/zfs")


class ZfsLink:
    def __init__(self, *, timeout_s: float = CALL_TIMEOUT_S, kstat: Path = KSTAT) -> None:
        self._timeout_s = timeout_s
        self._kstat = kstat
        self._pools: dict[str, BlockingPool] = {}
        self._memory = BlockingPool("zfs-kstat", 1)  # what asks the kernel's memory never waits behind anything
        self._files = BlockingPool("zfs-files", 2)
        self._stuck_files: set[asyncio.Future[object]] = set()
        self._stuck: defaultdict[str, set[asyncio.Future[object]]] = defaultdict(set)

    async def close(self) -> None:
        """The threads are gone, but for those that hang in a suspended zpool."""
        for zpool, pool in self._pools.items():
            if self._stuck[zpool]:
                log.warning(
                    "zpool %s has not answered %d calls: their threads are left", zpool, len(self._stuck[zpool])
                )
                pool.leave()
            else:
                await asyncio.to_thread(pool.close)
        await asyncio.to_thread(self._memory.close)
        if self._stuck_files:
            log.warning("%d files have not answered: their threads are left", len(self._stuck_files))
            self._files.leave()
        else:
            await asyncio.to_thread(self._files.close)

    async def run(self, dataset: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Result of `fn`, which blocks, on a thread of the zpool of `dataset`. A started call is awaited even when we are
        cancelled. Unavailable when the zpool is not imported, is suspended, or has not answered in time."""
        zpool = zpool_of(dataset)
        await self.check(zpool)
        pool = self._pools.setdefault(zpool, BlockingPool(f"zfs-{zpool}", THREADS))
        call = asyncio.ensure_future(pool.run(fn, *args, **kwargs))
        try:
            done, _ = await asyncio.wait([call], timeout=self._timeout_s)
        except asyncio.CancelledError:
            done, _ = await asyncio.wait([call], timeout=self._timeout_s)
            if not done:
                self._leave(zpool, call)
            elif not call.cancelled():
                call.exception()  # looked at, so that asyncio does not report it as forgotten
            raise
        if not done:
            self._leave(zpool, call)
            raise Unavailable(f"zpool {zpool} has not answered for {self._timeout_s:g} s; see `zpool status {zpool}`")
        try:
            return call.result()
        except NotFound:
            await self.check(zpool)  # its zpool went meanwhile: that is another matter
            raise

    async def program(self, dataset: str, text: str, arguments: Mapping[str, str], *, writes: bool = False) -> str:
        """What a channel program (`agent.storage.zfs_programs`) returns."""
        return await self.run(dataset, zfs_library.run_program, zpool_of(dataset), text, arguments, writes=writes)

    async def check(self, zpool: str) -> None:
        """Unavailable when it cannot be used now; asks the kernel's memory only."""
        if self._stuck[zpool]:
            raise Unavailable(f"zpool {zpool} has not answered an earlier call yet; see `zpool status {zpool}`")
        match await self.state(zpool):
            case None if not await self._memory.run(self._kstat.is_dir):
                raise HostLacks("this host has no ZFS module loaded; install zfs-dkms and run `modprobe zfs`")
            case None:
                raise Unavailable(f"zpool {zpool} is not imported on this host; see `zpool import`", zpool=zpool)
            case "SUSPENDED":
                words = f"zpool {zpool} is suspended, its disks do not answer; see `zpool status {zpool}`"
                raise Unavailable(words, zpool=zpool)
            case _:
                return

    async def state(self, zpool: str) -> str | None:
        """`ONLINE`, `DEGRADED`, `SUSPENDED`, … ; None when it is not imported."""
        return await self._memory.run(_read_word, self._kstat / zpool / "state")

    async def zpools(self) -> list[str]:
        """Those that are imported."""
        return await self._memory.run(_folders, self._kstat)

    async def command(self, *argv: str, timeout_s: float | None = None) -> str:
        """What it printed. Its complaint as an error; Unavailable when it takes too long."""
        said = await self._child(argv, self._timeout_s if timeout_s is None else timeout_s)
        if said.code != 0:
            raise from_command(argv, said.code, said.err)
        return said.out

    async def mounting(self, *argv: str) -> None:
        """As `command`, for what mounts: the whole host sees it."""
        said = await self._child(await self._files.run(outside, argv), self._timeout_s)
        if said.code != 0:
            raise from_command(argv, said.code, said.err)

    async def files(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """For short calls that touch no zpool. Unavailable when what they read does not answer in time."""
        call = asyncio.ensure_future(self._files.run(fn, *args, **kwargs))
        self._stuck_files.add(call)  # type: ignore[arg-type]  # Future is invariant; nobody reads the result
        call.add_done_callback(self._answered)
        done, _ = await asyncio.wait([call], timeout=self._timeout_s)
        if not done:
            what = ", ".join(str(arg) for arg in args)
            raise Unavailable(
                f"{what} has not answered for {self._timeout_s:g} s: does the server or disk behind it hang?"
            )
        return call.result()

    def _answered(self, call: "asyncio.Future[T]") -> None:
        self._stuck_files.discard(call)
        if not call.cancelled():
            call.exception()  # looked at, so that asyncio does not report it as forgotten

    async def _child(self, argv: Sequence[str], timeout_s: float) -> "_Said":
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )
        except FileNotFoundError:
            raise HostLacks(f"this host has no {argv[0]}; install it (apt-get install zfsutils-linux)") from None
        try:
            async with asyncio.timeout(timeout_s):
                out, err = await child.communicate()
        except TimeoutError:
            raise Unavailable(f"`{' '.join(argv[:2])}` has not answered for {timeout_s:g} s: a zpool hangs") from None
        finally:
            await _end(child)
        return _Said(code=child.returncode or 0, out=out.decode("utf-8", "replace"), err=err.decode("utf-8", "replace"))

    def _leave(self, zpool: str, call: "asyncio.Future[T]") -> None:
        """To itself, until it comes back."""
        log.warning("zpool %s has not answered for %g s: it is refused until it does", zpool, self._timeout_s)
        stuck: asyncio.Future[object] = call  # type: ignore[assignment]  # Future is invariant; nobody reads the result
        self._stuck[zpool].add(stuck)

        def back(done: "asyncio.Future[object]") -> None:
            self._stuck[zpool].discard(done)
            if not done.cancelled():
                done.exception()
            log.info("zpool %s answers again", zpool)

        stuck.add_done_callback(back)


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    out: str
    err: str


async def _end(child: asyncio.subprocess.Process) -> None:
    """It is dead, or has been told to be: in the kernel of a suspended zpool it cannot hear."""
    if child.returncode is not None:
        return
    child.kill()
    try:
        async with asyncio.timeout(GIVEN_UP_S):
            await child.wait()
    except TimeoutError:
        log.warning("process %d hangs in the kernel: it goes when its zpool answers", child.pid)


def from_command(argv: Sequence[str], code: int, err: str) -> HorcruxError:
    """The complaint of `zfs` or `zpool` as one of ours (their words: libzfs_util.c)."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    words = f"`{' '.join(argv[:2])}` of {argv[-1]}: {(lines[-1] if lines else f'exit code {code}')[:400]}"
    for said, kind in _COMPLAINTS:
        if said in err:
            return kind(words)
    return Unreachable(words)


_COMPLAINTS: tuple[tuple[str, type[HorcruxError]], ...] = (
    ("out of space", NoSpace),
    ("quota exceeded", NoSpace),
    ("size is greater than available space", NoSpace),
    ("dataset does not exist", NotFound),
    ("no such pool", Unavailable),
    ("dataset already exists", AlreadyExists),
    ("is busy", InUse),
    ("is currently suspended", Unavailable),
    ("I/O error", Unavailable),
    ("Key load error", Unavailable),
    ("encryption key not loaded", Unavailable),
    ("modules are not loaded", HostLacks),
    ("modules cannot be auto-loaded", HostLacks),
)


def _read_word(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _folders(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    except FileNotFoundError:
        return []
