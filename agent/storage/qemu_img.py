"""`qemu-img` as a child process: it looks at images and copies them.

A child never outlives the agent (`setpriv --pdeathsig`), has limits (prlimit), yields to the guests where it may take long
(nice, ionice), and is always told the format of what it opens. Looking is done without any rights: the child is `nobody` and
gets the file as its standard input, so that an image which gets past our own check still reads nothing of this host.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Literal

import msgspec

from agent.blocking import BlockingPool
from agent.storage.driver import Progress
from horcrux.errors import HorcruxError, HostLacks, Interrupted, InUse, Invalid, NoSpace
from horcrux.storage.image_check import ImageInfo

INFO_TIMEOUT_S = 30
INFO_CPU_S = 10
INFO_MEMORY_BYTES = 1024**3
OUTPUT_BYTES = 1_000_000
"""What is read of a child's words at most."""
COROUTINES = 8

_NOBODY = 65534
_PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")


class QemuImg:
    """Stateless beside the thread pool for opening files; make as many as you like."""

    def __init__(self, files: BlockingPool) -> None:
        self._files = files

    async def info(self, path: str, format_: str) -> ImageInfo:
        """What QEMU sees in the file `path`, opened as `format_`. Invalid when it cannot be read as that."""
        source = await self._files.run(open, path, "rb")
        try:
            async with asyncio.timeout(INFO_TIMEOUT_S):
                code, out, err = await _run(
                    [*_examiner(), "info", "--output=json", "-f", format_, "/dev/stdin"], source
                )
        except TimeoutError:
            raise Invalid(f"qemu-img had not understood the image after {INFO_TIMEOUT_S} s") from None
        finally:
            await self._files.run(source.close)
        if code != 0:
            raise _failure("examine the image", code, err)
        try:
            return msgspec.json.decode(out, type=ImageInfo)
        except msgspec.DecodeError as error:
            raise Invalid(f"qemu-img described the image in words that cannot be read: {error}") from error

    async def convert(
        self, source: tuple[str, str], target: tuple[str, str], progress: Progress, *, is_blank_device: bool = False
    ) -> None:
        """Writes `target` (path, format) from `source` (path, format); holes stay holes. The target is not synced. With
        `is_blank_device` it is a device that reads as zeros and is large enough. On cancellation the child is killed and gone
        before this returns."""
        cache = "none" if await self._files.run(_takes_direct_io, target[0]) else "writeback"
        blank = ["-n", "--target-is-zero"] if is_blank_device else []
        argv = ["convert", "-p", *blank, "-f", source[1], "-O", target[1], "-m", str(COROUTINES), "-t", cache]
        async with _child([*_COPIER, *argv, source[0], target[0]], None) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            err, _ = await asyncio.gather(_read(child.stderr), _follow(child.stdout, progress))
            code = await child.wait()
        if code != 0:
            raise _failure("copy the image", code, err)

    async def create(
        self, path: Path, format_: str, capacity_bytes: int, backing: tuple[str, str] | None = None
    ) -> None:
        """A new file that only root may read: empty, or an overlay of the file of that name and format in its folder.
        Nothing but it is opened. Not synced."""
        await self._files.run(path.unlink, missing_ok=True)
        base = [] if backing is None else ["-u", "-b", backing[0], "-F", backing[1]]
        await self._whole("make the volume", ["create", "-q", "-f", format_, *base, str(path), str(capacity_bytes)])
        await self._files.run(path.chmod, 0o600)

    async def resize(self, path: str, format_: str, capacity_bytes: int) -> None:
        """InUse when somebody has the file open."""
        await self._whole("grow the volume", ["resize", "-q", "-f", format_, path, str(capacity_bytes)])

    async def snapshot(self, act: Literal["-c", "-a", "-d"], path: str, snapshot: str) -> None:
        """In the qcow2 file `path`: a snapshot of that name made (-c), applied (-a, by name or id) or deleted (-d). InUse when
        somebody has the file open."""
        opened = f"driver=qcow2,file.driver=file,file.filename={path.replace(',', ',,')}"
        await self._whole("change the snapshots", ["snapshot", "-q", act, snapshot, "--image-opts", opened])

    async def _whole(self, what: str, argv: Sequence[str]) -> None:
        """Run to its end also when we are cancelled: half a change of a qcow2 file's tables is worse than a late one. It is
        short, and others wait for it: it yields to nobody."""
        child = await self._files.run(
            subprocess.run,
            [*_CHILD, "qemu-img", *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
        )
        if child.returncode != 0:
            raise _failure(what, child.returncode, child.stderr)


def _environment() -> dict[str, str]:
    """Of a child: PATH is all it sees of ours."""
    return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C"}


def _examiner() -> list[str]:
    drop = ["--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"] if os.geteuid() == 0 else []
    limits = [f"--cpu={INFO_CPU_S}", f"--as={INFO_MEMORY_BYTES}", "--core=0", "--fsize=0"]
    return [
        "setpriv",
        *drop,
        "--no-new-privs",
        "--pdeathsig",
        "KILL",
        "prlimit",
        *limits,
        "nice",
        "-n",
        "10",
        "qemu-img",
    ]


_CHILD = ("setpriv", "--pdeathsig", "KILL", "prlimit", "--core=0")
_COPIER = (*_CHILD, "nice", "-n", "10", "ionice", "-c", "2", "-n", "7", "qemu-img")


@asynccontextmanager
async def _child(argv: Sequence[str], stdin: IO[bytes] | None) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running child, dead at the latest when the block is left. It sees only PATH of our environment."""
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin or asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
    except FileNotFoundError:
        raise HostLacks(f"this host has no {argv[0]}; install it (apt-get install util-linux)") from None
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await asyncio.shield(child.wait())


async def _run(argv: Sequence[str], stdin: IO[bytes]) -> tuple[int, bytes, bytes]:
    async with _child(argv, stdin) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        out, err = await asyncio.gather(_read(child.stdout), _read(child.stderr))
        return await child.wait(), out, err


async def _read(stream: asyncio.StreamReader) -> bytes:
    """All of it, of which OUTPUT_BYTES are kept."""
    kept = bytearray()
    while piece := await stream.read(65_536):
        kept += piece[: OUTPUT_BYTES - len(kept)]
    return bytes(kept)


async def _follow(stream: asyncio.StreamReader, progress: Progress) -> None:
    """Tells `progress` what `qemu-img -p` prints: `    (12.34/100%)` and a carriage return."""
    tail = b""
    while piece := await stream.read(4096):
        tail = (tail + piece)[-256:]
        if found := _PERCENT.findall(tail):
            progress(float(found[-1]) / 100)


def _takes_direct_io(path: str) -> bool:
    """Whether the file, which is made here, can be written past the page cache (tmpfs and some network file systems cannot)."""
    if not path.startswith("/") or Path(path).is_block_device():
        return True  # a protocol of QEMU's, of which the host caches nothing; a device, whose name is a link of udev's
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _failure(act: str, code: int, err: bytes) -> HorcruxError:
    lines = [line.strip() for line in err.decode("utf-8", "replace").splitlines() if line.strip()]
    words = (lines[-1] if lines else f"exit code {code}")[:500]
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return NoSpace(f"qemu-img could not {act}: the pool is full")
    if b'" lock' in err:
        return InUse(f"qemu-img could not {act}: a running VM, or another program, has the file open")
    if code == 127:
        return HostLacks("this host has no qemu-img; install it (apt-get install qemu-utils)")
    if code < 0:
        return Interrupted(f"qemu-img was ended by signal {-code} before it could {act}")
    return Invalid(f"qemu-img could not {act}: {words}")
