"""One guest: commands in it, files to and from it, its power, its journal. Plain blocking calls, for plain `def` tests."""

import functools
import shlex
import subprocess
import time
from pathlib import Path
from typing import Protocol

import msgspec

from tests.support.agent_process import free_port
from tests.support.waiting import block_until

SSH_OPTIONS = (
    *("-F", "none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "HostKeyAlias=lab-guest"),
    *("-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=8", "-o", "ConnectTimeout=60"),
    *("-o", "Compression=no", "-o", "GSSAPIAuthentication=no", "-o", "Ciphers=aes128-gcm@openssh.com"),
)
_POLL_S = 0.2
_NO_CONNECTION = 255


class Outcome(msgspec.Struct, frozen=True):
    """How a command in a guest ended."""

    command: str
    status: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        parts = [f"$ {self.command}", f"-> {self.status}", self.stdout.rstrip(), self.stderr.rstrip()]
        return "\n".join(part for part in parts if part)


class GuestError(AssertionError):
    """A command in a guest failed, or the guest does not answer; the text holds what it printed."""


class Power(Protocol):
    """What the keeper does for a guest."""

    folder: Path
    image: Path
    wait_s: int

    def ask(self, line: str) -> None: ...
    def ssh_port(self, number: int) -> int: ...
    def has_share(self) -> bool: ...
    def pid_of(self, guest: "Guest") -> int: ...


class Guest:
    """`n<number>`; its address in the lab's network is `ip`."""

    def __init__(self, power: Power, number: int) -> None:
        self.number = number
        self.name = f"n{number}"
        self.ip = f"10.77.0.{number}"
        self.folder = power.folder / self.name
        self._power = power
        self._forwards: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Guest({self.name})"

    # ------------------------------------------------------------------ commands

    def run(self, command: str, *, timeout_s: float = 300, stdin: str | bytes = b"") -> str:
        """What `command` printed; GuestError, with all it said, where it fails or takes too long.

        A line for bash (`set -eo pipefail`, so every command of several must succeed).
        """
        outcome = self.attempt(command, timeout_s=timeout_s, stdin=stdin)
        if outcome.status != 0:
            raise GuestError(f"{self.name}: {outcome}")
        return outcome.stdout

    def attempt(self, command: str, *, timeout_s: float = 300, stdin: str | bytes = b"") -> Outcome:
        """As `run`, for a command that may fail. GuestError where it does not end in time or the guest cannot be reached."""
        words = [*self._ssh(), "root@127.0.0.1", f"set -eo pipefail\n{command}"]
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = subprocess.run(words, input=data, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as err:
            said = b"".join(part or b"" for part in (err.stdout, err.stderr)).decode(errors="replace")
            raise GuestError(f"{self.name}: $ {command}\nno end within {timeout_s} s; so far: {said}") from err
        stdout, stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        outcome = Outcome(command, done.returncode, stdout, stderr)
        if done.returncode == _NO_CONNECTION:
            raise GuestError(f"{self.name} cannot be reached, or went away: {outcome}")
        return outcome

    def begin(self, command: str) -> "subprocess.Popen[bytes]":
        """`command` running on; the caller ends or awaits the process. It ends by itself when the guest's power is cut."""
        words = [*self._ssh(), "root@127.0.0.1", f"set -eo pipefail\n{command}"]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def wait_for(self, command: str, *, timeout_s: float = 120) -> str:
        """What `command` printed when it succeeded at last; GuestError with its last words otherwise."""
        look = functools.partial(self.attempt, command)
        try:
            outcome = block_until(look, lambda outcome: outcome.status == 0, timeout_s=timeout_s, every_s=_POLL_S)
        except TimeoutError as err:
            raise GuestError(f"{self.name}: {err}") from err
        return outcome.stdout

    def ssh_words(self, *command: str) -> list[str]:
        """The program and arguments of a shell in the guest, or of a command."""
        return [*self._ssh(), *(() if command else ("-t",)), "root@127.0.0.1", *command]

    # ------------------------------------------------------------------ files

    def push(self, source: Path | str, target: str) -> None:
        """A file or folder of ours, in the guest."""
        self._copy(str(source), f"root@127.0.0.1:{target}")

    def pull(self, source: str, target: Path | str) -> None:
        """A file or folder of the guest, here."""
        self._copy(f"root@127.0.0.1:{source}", str(target))

    def write(self, path: str, content: str | bytes, *, mode: str = "644") -> None:
        """The file has that content, also after a power cut; its folder is made."""
        quoted = shlex.quote(path)
        self.run(
            f"mkdir -p $(dirname {quoted}) && cat >{quoted} && chmod {mode} {quoted} && sync {quoted}", stdin=content
        )

    def read(self, path: str) -> str:
        return self.run(f"cat {shlex.quote(path)}")

    # ------------------------------------------------------------------ power

    def kill(self) -> None:
        """Power cut. What the guest had sent to its disks stays; what lay in its page cache is lost."""
        self._power.ask(f"kill {self.number}")
        self.drop_connection()

    def start(self) -> None:
        """Power on with the same disks; returns when a command runs in it, and what was forwarded is so again."""
        self._power.ask(f"start {self.number}")
        self.until_up()

    def reboot(self) -> None:
        """Power cut and power on."""
        self.kill()
        self.start()

    def until_up(self) -> None:
        """Returns when a command runs in it."""
        deadline = time.monotonic() + self._power.wait_s
        while True:
            try:
                self.run("true", timeout_s=120)
                break
            except GuestError as err:
                if time.monotonic() > deadline or not self._power.pid_of(self):
                    said = (self.folder / "qemu.log").read_text(errors="replace")[-1000:]
                    raise GuestError(f"{self.name} did not boot:\n{self.console()[-3000:]}\n{said}") from err
            time.sleep(_POLL_S)
        # One connection for all that follows: a handshake costs half a second here. Without it each command makes its own.
        subprocess.run(
            [*self._ssh(), "-M", "-N", "-f", "root@127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=120,
        )
        if self._power.has_share():
            options = "ro,trans=virtio,version=9p2000.L,msize=262144"
            self.run(f"mountpoint -q /host || mount -t 9p -o {options} host /host")
        for inner, outer in self._forwards.items():
            self._forward(inner, outer)

    def forward(self, port: int) -> int:
        """A port on our loopback that leads to `port` on the guest's loopback, also after a power cut."""
        if port not in self._forwards:
            self._forwards[port] = free_port()
            self._forward(port, self._forwards[port])
        return self._forwards[port]

    def drop_connection(self) -> None:
        """The connection that commands share is closed, where there is one."""
        self._control("exit")

    # ------------------------------------------------------------------ what it said

    def console(self) -> str:
        """Its serial console since it was first powered on."""
        path = self.folder / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def journal(self, unit: str = "", lines: int = 5000) -> str:
        """The end of its journal, earlier lives included."""
        only = f"-u {shlex.quote(unit)}" if unit else ""
        return self.run(f"journalctl --no-pager -q -o short-precise -n {lines} {only}", timeout_s=120)

    # ------------------------------------------------------------------

    def _forward(self, inner: int, outer: int) -> None:
        self._control("forward", "-L", f"127.0.0.1:{outer}:127.0.0.1:{inner}", must=True)

    def _control(self, word: str, *more: str, must: bool = False) -> None:
        done = subprocess.run(
            ["ssh", *self._options(), "-O", word, *more, "root@127.0.0.1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        if must and done.returncode != 0:
            raise GuestError(f"{self.name}: ssh -O {word} {' '.join(more)}: {done.stderr.decode(errors='replace')}")

    def _options(self) -> list[str]:
        image = self._power.image
        options = [*SSH_OPTIONS, "-i", str(image / "id_ed25519"), "-o", f"UserKnownHostsFile={image}/known_hosts"]
        return [*options, "-o", f"ControlPath={self.folder}/ssh"]

    def _ssh(self) -> list[str]:
        return ["ssh", *self._options(), "-p", str(self._power.ssh_port(self.number))]

    def _copy(self, source: str, target: str) -> None:
        port = str(self._power.ssh_port(self.number))
        words = ["scp", *self._options(), "-r", "-p", "-q", "-P", port, source, target]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=600)
        if done.returncode != 0:
            raise GuestError(f"{self.name}: {source} -> {target}: {done.stderr.decode(errors='replace')}")
