"""One lab: 1 to 3 guests, their network, and the keeper that holds both.

open -> keeper process (parent of the guests, switch) -> guests up -> … -> close: nothing is left
"""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.lab.harness.guest import Guest, GuestError
from tests.lab.harness.kept import PREFIX, LabError, ask_keeper, end_keeper, fill_folder, remove_dead_runs, start_keeper
from tests.lab.harness.shape import Run, Shape


class Lab:
    """The guests of one run; `folder` holds all its state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        run = msgspec.json.decode((folder / "run.json").read_bytes(), type=Run)
        self.shape = run.shape
        self.owner = run.owner
        self.image = Path(run.image)
        self.wait_s = run.shape.wait_s
        self._ports: dict[int, int] = {}
        self.guests = tuple(Guest(self, k) for k in range(1, run.shape.guests + 1))

    @property
    def n1(self) -> Guest:
        return self.guests[0]

    @property
    def n2(self) -> Guest:
        return self.guests[1]

    @property
    def n3(self) -> Guest:
        return self.guests[2]

    def cut(self, a: Guest, b: Guest) -> None:
        """No frame gets from one to the other, on any segment, until `heal`."""
        self.ask(f"cut {a.number} {b.number}")

    def heal(self) -> None:
        """All cuts are undone."""
        self.ask("heal")

    @contextmanager
    def partition(self, a: Guest, b: Guest) -> Iterator[None]:
        """Cut while the block runs."""
        self.cut(a, b)
        try:
            yield
        finally:
            self.heal()

    def collect(self, folder: Path) -> list[Path]:
        """Consoles and journals of all guests as files in `folder`; a guest that does not answer has its console only."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for guest in self.guests:
            console = folder / f"{guest.name}.console"
            console.write_text(guest.console())
            written.append(console)
            journal = folder / f"{guest.name}.journal"
            try:
                journal.write_text(guest.journal() if self.pid_of(guest) else "the guest is off\n")
            except (GuestError, OSError) as err:
                journal.write_text(f"the journal could not be read: {err}\n")
            written.append(journal)
        return written

    # ------------------------------------------------------------------ the keeper

    def ask(self, line: str) -> None:
        """The keeper has done it."""
        status = ask_keeper(self.folder, line)
        self._ports = {int(k): guest["ssh_port"] for k, guest in status["guests"].items()}

    def ssh_port(self, number: int) -> int:
        if number not in self._ports:
            self.ask("status")
        return self._ports[number]

    def has_share(self) -> bool:
        return bool(self.shape.share)

    def pid_of(self, guest: Guest) -> int:
        """Its emulator; 0 while it is off."""
        return ask_keeper(self.folder, "status")["guests"][str(guest.number)]["pid"]

    def keeper_pid(self) -> int:
        return ask_keeper(self.folder, "status")["keeper"]

    def close(self) -> None:
        """No process, no folder is left. Nothing happens when it is closed already."""
        for guest in self.guests:
            guest.drop_connection()
        end_keeper(self.folder)


def open_lab(shape: Shape, image: Path, folder: Path | None = None, *, owner: int = 0) -> Lab:
    """A lab whose guests answer. It ends with process `owner` where one is given, and after its time to live."""
    lab = power_on(shape, image, folder, owner=owner)
    try:
        for guest in lab.guests:
            guest.until_up()
    except BaseException:
        lab.close()
        raise
    return lab


def power_on(shape: Shape, image: Path, folder: Path | None = None, *, owner: int = 0) -> Lab:
    """As `open_lab`; the guests are still booting."""
    remove_dead_runs()
    if not 1 <= shape.guests <= 3:
        raise LabError(f"a lab has 1 to 3 guests, not {shape.guests}")
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    else:
        folder = folder.absolute()
        folder.mkdir(mode=0o700)
    try:
        fill_folder(folder, Run(shape=shape, image=str(image), run_id=secrets.token_hex(8), owner=owner))
        start_keeper(folder)
        return Lab(folder)
    except BaseException:
        end_keeper(folder)
        raise
