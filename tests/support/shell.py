"""Commands that set a test up."""

import asyncio
import subprocess


async def sh(command: str) -> str:
    """What it printed; fails with what it said."""
    done = await asyncio.to_thread(subprocess.run, command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
