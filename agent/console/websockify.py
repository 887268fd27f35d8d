"""The way to QEMU's VNC sockets: websockify, unmodified, in a process of its own (in threads it hands one client another VM's
screen; as a library it does not work at all).

It opens whatever socket a token names that our key has signed, and nothing else. The key is made at each start of the
agent; its private half never leaves the memory, the public half is a file that websockify reads at every look-up.

    idle -> ready() -> starting -> up -> it died -> waiting (0.2 s, doubled up to 10 s) -> starting
                                         '-> the agent leaves -> ended
"""

import asyncio
import grp
import logging
import os
import pwd
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.blocking import BlockingPool
from agent.durable import write_whole
from agent.host.reach import QEMU_USER, find_account
from horcrux.clock import Clock
from horcrux.errors import HostLacks, Unavailable

log = logging.getLogger(__name__)

TOKEN_LIFETIME_S = 10
START_TIMEOUT_S = 15.0
SHORTEST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
_PROBE_EVERY_S = 0.05
_LONGEST_PATH_BYTES = 107
_LAUNCHER = Path(__file__).with_name("launch.py")
# A refused token stands in websockify's log as it was sent; a signed one looks like this wherever it turns up.
_SECRETS = re.compile(r"(?<=Token ').*(?=' not found)|eyJ[\w.-]+")


class ConsoleKey:
    """An ES256 key pair (RFC 7518 section 3.4) for the time this process lives."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_pem(self) -> bytes:
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, target: str, now_s: float) -> str:
        """A token with which websockify opens the Unix socket at `target` within 10 s."""
        claims = {"host": "unix_socket", "port": target, "exp": int(now_s) + TOKEN_LIFETIME_S}
        return jwt.encode(claims, self._private, algorithm="ES256")


class VncGate(Protocol):
    """A websockify that trusts our key."""

    async def ready(self) -> Path:
        """Path of its Unix socket, which takes connections now; Unavailable when it does not come up in time."""
        ...

    def sign(self, target: str) -> str:
        """A token, to be sent as the Host header and nowhere else, for the Unix socket at `target`."""
        ...


class WebsockifyUnit:
    """A websockify that somebody else runs (`horcrux-console.service`); we write the public key it trusts."""

    def __init__(self, *, socket: Path, key_file: Path, clock: Clock, files: BlockingPool) -> None:
        self._socket = socket
        self._key_file = key_file
        self._clock = clock
        self._files = files
        self._key = ConsoleKey()

    async def __aenter__(self) -> Self:
        await self._files.run(_write_public, self._key_file, self._key.public_pem)
        return self

    async def __aexit__(self, *_: object) -> None:
        """The public key stays: it opens nothing by itself."""

    async def ready(self) -> Path:
        if not await _takes_connections(self._socket):
            raise Unavailable(f"websockify does not answer at {self._socket}; is horcrux-console.service running?")
        return self._socket

    def sign(self, target: str) -> str:
        return self._key.sign(target, self._clock.now())


class Websockify:
    """Our own websockify process, started when it is first wanted and again whenever it dies.

    `folder` holds its socket and belongs to the user that it runs as, who must be able to come to it and to QEMU's sockets:
    when we are root that is `user`, by default the one that libvirt runs QEMU as; else it is ourselves.
    Enter and leave it in one task.
    """

    def __init__(
        self, *, folder: Path, key_file: Path, clock: Clock, files: BlockingPool, user: str | None = None
    ) -> None:
        self._folder = folder
        self._socket = folder / "ws.sock"
        self._key_file = key_file
        self._wanted_user = user
        self._user: str | None = None
        self._clock = clock
        self._files = files
        self._key = ConsoleKey()
        self._wanted = asyncio.Event()
        self._up = asyncio.Event()
        self._work = AsyncExitStack()
        self._supervisor: asyncio.Task[None] | None = None
        self.pid: int | None = None
        """Of the process as it runs now."""

    async def __aenter__(self) -> Self:
        if len(os.fsencode(self._socket)) > _LONGEST_PATH_BYTES:
            raise HostLacks(f"{self._socket} is longer than {_LONGEST_PATH_BYTES} bytes; choose a shorter run_dir")
        if os.geteuid() == 0:
            self._user = (await self._files.run(find_account, self._wanted_user or QEMU_USER)).name
        await self._files.run(_make_folder, self._folder, self._user)
        await self._files.run(_write_public, self._key_file, self._key.public_pem)
        async with AsyncExitStack() as undo:
            output = await undo.enter_async_context(_output_pipe())
            group = await undo.enter_async_context(asyncio.TaskGroup())
            drain = group.create_task(_log_output(output.reader), name="websockify-output")
            self._supervisor = group.create_task(self._supervise(output.write_fd), name="websockify")
            undo.callback(drain.cancel)
            undo.callback(self._supervisor.cancel)
            self._work = undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._work.__aexit__(kind, error, trace)

    async def ready(self) -> Path:
        self._wanted.set()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._up.wait()
        except TimeoutError:
            raise Unavailable("websockify does not come up; the agent's log says why") from None
        return self._socket

    def sign(self, target: str) -> str:
        return self._key.sign(target, self._clock.now())

    async def _supervise(self, output_fd: int) -> None:
        await self._wanted.wait()
        wait_s = SHORTEST_WAIT_S
        while True:
            began_s = self._clock.monotonic()
            try:
                how = f"with status {await self._run_once(output_fd)}"
            except OSError as err:
                how = f"before it began ({err})"
            if self._clock.monotonic() - began_s > LONGEST_WAIT_S:
                wait_s = SHORTEST_WAIT_S
            log.warning("websockify ended %s; starting it again in %.1f s", how, wait_s)
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _run_once(self, output_fd: int) -> int:
        """Exit status of one process, which is gone on return, however we leave."""
        await self._files.run(self._socket.unlink, missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *self._command(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output_fd,
            stderr=output_fd,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            start_new_session=True,  # a group to kill; and an interrupt at the terminal is the agent's to handle
        )
        self.pid = process.pid
        try:
            await self._announce(process)
            return await process.wait()
        finally:
            self._up.clear()
            self.pid = None
            await _end(process)

    async def _announce(self, process: asyncio.subprocess.Process) -> None:
        """Sets `_up` as soon as it takes connections; returns early when it has died, and kills one that never does."""
        given_up_at = self._clock.monotonic() + START_TIMEOUT_S
        while process.returncode is None:
            if await _takes_connections(self._socket):
                log.info("websockify runs: pid=%d socket=%s user=%s", process.pid, self._socket, self._user or "-")
                self._up.set()
                return
            if self._clock.monotonic() > given_up_at:
                process.kill()
                return
            await self._clock.sleep(_PROBE_EVERY_S)

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-I",
            str(_LAUNCHER),
            str(os.getpid()),
            self._user or "-",
            f"--unix-listen={self._socket}",
            "--unix-listen-mode=0600",
            "--heartbeat=30",
            "--host-token",
            "--token-plugin=JWTTokenApi",
            f"--token-source={self._key_file}",
        ]


def _write_public(path: Path, pem: bytes) -> None:
    """`path` holds `pem`, readable by all, and never holds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, pem, 0o644)


def _make_folder(folder: Path, user: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, grp.getgrgid(entry.pw_gid).gr_gid)


async def _takes_connections(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    return True


async def _end(process: asyncio.subprocess.Process) -> None:
    """The process and those it forked are gone. Killed, not asked: it holds nothing, and 0.13.0 can miss a SIGTERM for good
    (seen in 1 of 20 when it came within 30 ms of a connection)."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class _Output:
    def __init__(self, reader: asyncio.StreamReader, write_fd: int) -> None:
        self.reader = reader
        self.write_fd = write_fd


@asynccontextmanager
async def _output_pipe() -> AsyncIterator[_Output]:
    """One pipe for all lives of the process. Its forked children hold the other end when it is killed, so the pipe's
    end says nothing about the process and must not be waited for (as `asyncio.subprocess.PIPE` would)."""
    read_fd, write_fd = os.pipe()
    try:
        reader = asyncio.StreamReader(limit=1 << 18)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_fd, "rb", buffering=0)
        )
        try:
            yield _Output(reader, write_fd)
        finally:
            transport.close()
    finally:
        os.close(write_fd)


async def _log_output(reader: asyncio.StreamReader) -> None:
    """What websockify says, without the tokens it repeats. Returns when the pipe ends."""
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            log.debug("websockify said more in one line than is worth keeping")
            continue
        if not line:
            return
        log.debug("websockify: %s", _SECRETS.sub("<token>", line.decode(errors="replace").rstrip()))
