"""The keeper of one lab: parent of its guests and the switch between them; `python -m tests.lab.harness.keeper FOLDER`.

It ends with SIGTERM, with its owner (a pidfd tells), or when its time to live is over, and takes the guests and the run's folder
with it. Should it be killed itself, the kernel ends the guests; the folder is then removed by the next lab that is opened.

On its socket `ctl`, one line a connection: `start K`, `kill K`, `cut A B`, `heal`, `status`; the answer is JSON.
"""

import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.lab.harness.emulator import Emulator, EmulatorError
from tests.lab.harness.shape import Run
from tests.lab.harness.switch import Switch


class Keeper:
    """Its working directory is the run's folder."""

    def __init__(self, run: Run) -> None:
        self._ttl_s = run.shape.ttl_s
        self._selector = selectors.DefaultSelector()
        self._is_told_to_stop = False
        numbers = range(1, run.shape.guests + 1)
        self._guests = {k: Emulator(run, k) for k in numbers}
        self._switch = Switch(run.shape.guests, run.shape.segments, self._selector)
        if run.owner:
            self._watch(os.pidfd_open(run.owner), self._stop)

    def _watch(self, fd: int, then: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, then)

    def _stop(self) -> None:
        self._is_told_to_stop = True

    def serve(self) -> None:
        """Guests on; returns when told to end, with all guests off."""
        with socket.socket(socket.AF_UNIX) as control:
            try:
                for k in self._guests:
                    self._start(k)
                control.bind("ctl.new")
                control.listen(16)
                self._watch(control.fileno(), lambda: self._answer(control))
                Path("ctl.new").rename("ctl")  # from here on it is there and answers
                end = time.monotonic() + self._ttl_s
                while not self._is_told_to_stop and time.monotonic() < end:
                    for key, _ in self._selector.select(1):
                        key.data()
            finally:
                for guest in self._guests.values():
                    guest.power_off()

    def catch_signals(self) -> None:
        """SIGTERM and its like wake the loop up and end it."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop())
        self._watch(reader, self._stop)

    def _start(self, k: int) -> None:
        if not self._guests[k].pid:
            self._guests[k].start()
            self._switch.connect(k)

    def _answer(self, control: socket.socket) -> None:
        connection, _ = control.accept()
        with connection:
            connection.settimeout(5)
            try:
                word, *rest = connection.recv(4096).decode().split()
                answer = self._obey(word, [int(number) for number in rest])
                connection.sendall(json.dumps(answer).encode())
            except (EmulatorError, ValueError, KeyError) as err:
                connection.sendall(json.dumps({"error": f"{type(err).__name__}: {err}"}).encode())
            except OSError as err:  # whoever asked has gone
                sys.stderr.write(f"keeper: {err}\n")

    def _obey(self, word: str, numbers: list[int]) -> dict[str, Any]:
        match word:
            case "start":
                self._start(numbers[0])
            case "kill":
                self._guests[numbers[0]].power_off()
            case "cut":
                self._switch.cut(numbers[0], numbers[1])
            case "heal":
                self._switch.heal()
            case "status":
                pass
            case _:
                raise ValueError(word)
        guests = {str(k): {"pid": guest.pid, "ssh_port": guest.ssh_port} for k, guest in self._guests.items()}
        return {"keeper": os.getpid(), "guests": guests}


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    os.chdir(folder)
    run = msgspec.json.decode(Path("run.json").read_bytes(), type=Run)
    with Path(run.image, "ok").open() as in_use:  # images in use are not pruned
        fcntl.flock(in_use, fcntl.LOCK_SH)
        try:
            keeper = Keeper(run)
            keeper.catch_signals()
            keeper.serve()
        except (EmulatorError, OSError) as err:
            Path("error.new").write_text(f"{type(err).__name__}: {err}")
            Path("error.new").rename("error")
            raise
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
