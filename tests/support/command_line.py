"""The command line, run as its own process, as users and scripts do."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec


class Run(msgspec.Struct, frozen=True):
    """How a run of the command line ended."""

    code: int
    raw: bytes
    """Standard output as it came."""
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> object:
        return json.loads(self.out)


async def run_horcrux(
    *words: str,
    url: str,
    home: Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    limit_s: float = 60,
) -> Run:
    """`horcrux` with these words against the agent at `url`; `home` is where it keeps its sessions. A variable that is
    empty is not set."""
    surroundings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parent.parent.parent),
        "HOME": str(home),
        "HORCRUX_URL": url,
        "TZ": "UTC",
        **(environment or {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent.cli.main", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in surroundings.items() if value},
    )  # fmt: skip
    try:
        async with asyncio.timeout(limit_s):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
    return Run(process.returncode or 0, out, err.decode())
