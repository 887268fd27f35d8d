"""The keeper of a run, seen from outside: begun, asked, ended."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

import msgspec

from tests.lab.harness.shape import REPOSITORY, Run
from tests.support.waiting import block_until

PREFIX = "horcrux-lab-"
_START_PATIENCE_S = 120.0
_END_PATIENCE_S = 60.0


class LabError(Exception):
    """The lab could not be opened, or its keeper is gone."""


class GuestStatus(TypedDict):
    pid: int
    """0 while it is off."""
    ssh_port: int


class Status(TypedDict):
    keeper: int
    guests: dict[str, GuestStatus]


def fill_folder(folder: Path, run: Run) -> None:
    """The run's file and each guest's disks."""
    (folder / "run.json").write_bytes(msgspec.json.encode(run))
    for k in range(1, run.shape.guests + 1):
        guest = folder / f"n{k}"
        guest.mkdir()
        _disk("-b", f"{run.image}/disk.raw", "-F", "raw", str(guest / "root.qcow2"))
        for n, size in enumerate(run.shape.disks, 1):
            _disk(str(guest / f"disk{n}.qcow2"), size)


def _disk(*words: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *words], check=True)


def start_keeper(folder: Path) -> None:
    """The keeper has powered the guests on and answers. It belongs to no terminal and holds nothing of ours open."""
    with (folder / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.harness.keeper", str(folder)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "keeper.pid").write_text(str(keeper.pid))
    answers = folder / "ctl"
    with suppress(TimeoutError):
        block_until(lambda: answers.exists() or keeper.poll() is not None, timeout_s=_START_PATIENCE_S)
    if not answers.exists():
        raise LabError(f"the keeper did not start: {(folder / 'keeper.log').read_text()[-2000:]}")


def ask_keeper(folder: Path, line: str) -> Status:
    """How things are after it did what `line` says."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(120)
        try:
            sock.connect(str(folder / "ctl"))
            sock.sendall(line.encode())
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except OSError as err:
            raise LabError(f"the keeper of {folder} does not answer: {err}") from err
    decoded = json.loads(answer)
    if "error" in decoded:
        raise LabError(f"{line}: {decoded['error']}")
    return Status(keeper=decoded["keeper"], guests=decoded["guests"])


def end_keeper(folder: Path) -> None:
    """No process and no folder of this run is left; nothing happens where none is."""
    pid = keeper_pid(folder)
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    try:
        block_until(lambda: not (pid and _runs(pid)) and not processes_of(folder), timeout_s=_END_PATIENCE_S)
    except TimeoutError as err:
        raise LabError(f"processes of {folder} do not end: {processes_of(folder)}") from err
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[int]:
    """Those that work in a run's folder or name it: keeper, guests, connections."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
            if str(folder).encode() in words or (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile
            continue
    return [pid for pid in found if pid != os.getpid()]


def keeper_pid(folder: Path) -> int:
    """0 where it has gone; another process may have its number by now, so its command line has to name the folder."""
    try:
        pid = int((folder / "keeper.pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    return pid if str(folder).encode() in words else 0


def _runs(pid: int) -> bool:
    """False for a zombie, too; a keeper that we began ourselves is collected here."""
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def remove_dead_runs() -> None:
    """Folders of runs whose keeper was killed; the guests went with it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (folder / "keeper.pid").exists() and not keeper_pid(folder):
            shutil.rmtree(folder, ignore_errors=True)
