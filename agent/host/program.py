"""A program that is only asked something, with what it answered."""

import os
import subprocess
from collections.abc import Callable, Sequence

import msgspec

_LIMIT_S = 10


class Answer(msgspec.Struct, frozen=True):
    ok: bool
    output: str

    @property
    def last_line(self) -> str:
        """Where programs say why they failed."""
        lines = self.output.strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"


Run = Callable[[Sequence[str]], Answer]


def run_program(argv: Sequence[str]) -> Answer:
    """What `argv` answered within 10 s. Never raises: a program that is missing or hangs is an answer too."""
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        return Answer(ok=False, output=f"{argv[0]} is not installed")
    except OSError as err:
        return Answer(ok=False, output=f"{argv[0]}: {err.strerror}")
    except subprocess.TimeoutExpired:
        return Answer(ok=False, output=f"{argv[0]} did not answer within {_LIMIT_S} s")
    return Answer(ok=done.returncode == 0, output=done.stdout.decode(errors="replace"))
