"""The commands of `tests/lab/lab`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.lab.harness.guest import GuestError
from tests.lab.harness.image import ImageError, image_folder
from tests.lab.harness.kept import LabError
from tests.lab.harness.lab import Lab, open_lab
from tests.lab.harness.shape import REPOSITORY, Shape


def main(usage: str) -> None:
    """Does what the command line says; exit status 1 with a sentence where it cannot."""
    words = _arguments(usage)
    folder = Path(words.dir)
    try:
        if words.do == "up":
            lab = open_lab(_shape(words), image_folder(), folder)
            _print(f"{', '.join(g.name for g in lab.guests)} up in {folder}; end with: tests/lab/lab down")
        elif words.do == "down":
            if (folder / "run.json").exists():
                Lab(folder).close()
        else:
            _do(Lab(folder), words)
    except FileNotFoundError:
        sys.exit(f"lab: nothing runs in {folder}")
    except FileExistsError:
        sys.exit(f"lab: {folder} is in use; tests/lab/lab down first")
    except (GuestError, ImageError, LabError) as err:
        sys.exit(f"lab: {err}")


def _arguments(usage: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=usage, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", default=os.environ.get("LAB_DIR") or f"{tempfile.gettempdir()}/horcrux-lab-by-hand")
    commands = parser.add_subparsers(dest="do", required=True)
    up = commands.add_parser("up")
    up.add_argument("--guests", type=int, default=1)
    up.add_argument("--mem", type=int, default=1024)
    up.add_argument("--cpus", type=int, default=2)
    up.add_argument("--disk", action="append", help="size of /dev/vdb, then of /dev/vdc, …")
    up.add_argument("--segments", type=int, default=1)
    up.add_argument("--online", action="store_true")
    for name, count in (
        ("ssh", 1),
        ("kill", 1),
        ("start", 1),
        ("console", 1),
        ("cut", 2),
        ("heal", 0),
        ("status", 0),
        ("down", 0),
    ):
        command = commands.add_parser(name)
        if count:
            command.add_argument("guests", type=int, nargs=count)
        else:
            command.set_defaults(guests=[])
        if name == "ssh":
            command.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def _shape(words: argparse.Namespace) -> Shape:
    return Shape(
        guests=words.guests,
        mem_mib=words.mem,
        cpus=words.cpus,
        disks=tuple(words.disk or ["4G"]),
        segments=words.segments,
        online=words.online,
        share=str(REPOSITORY),
    )


def _do(lab: Lab, words: argparse.Namespace) -> None:
    chosen = [lab.guests[k - 1] for k in words.guests]
    match words.do:
        case "ssh":
            line = chosen[0].ssh_words(*words.command)
            os.execvp(line[0], line)
        case "kill":
            chosen[0].kill()
        case "start":
            chosen[0].start()
        case "console":
            _print(chosen[0].console())
        case "cut":
            lab.cut(chosen[0], chosen[1])
        case "heal":
            lab.heal()
        case _:
            for guest in lab.guests:
                _print(f"{guest.name} {'on' if lab.pid_of(guest) else 'off'}")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
