"""Starts and dismisses `thaw_guard.py`, the process that lets a guest go on when we cannot."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from horcrux.errors import Unavailable

READY_LIMIT_S = 20
SYSTEMD = Path("/run/systemd/system")


class Guard:
    """One that is ready, until `dismiss`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def dismiss(self) -> None:
        """It has ended, and did nothing unless its time had come. Idempotent."""
        stdin = self._process.stdin
        assert stdin is not None
        if self._process.returncode is None:
            stdin.write(b"done\n")
        stdin.close()
        await self._process.wait()


async def start_guard(uri: str, domain: str, act: str, limit_s: int | None) -> Guard:
    """A guard that watches over `domain` from now on. Unavailable when it cannot be started: then nothing is to be held."""
    argv = [sys.executable, "-m", "agent.compute.thaw_guard", uri, domain, act, str(limit_s or 0)]
    process = await asyncio.create_subprocess_exec(
        *await asyncio.to_thread(_outside_our_unit),
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_LIMIT_S):
            said = await process.stdout.readline()
    except TimeoutError:
        said = b""
    if said.strip() != b"ready":
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise Unavailable("what lets the guest go on if the agent dies could not be started; nothing was held still")
    return Guard(process)


def _outside_our_unit() -> list[str]:
    """systemd ends everything in a unit whose main process was killed, so the guard gets one of its own."""
    runner = shutil.which("systemd-run") if SYSTEMD.exists() else None
    return [runner, "--scope", "--quiet", "--collect", "--"] if runner else []
