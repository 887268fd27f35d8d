"""The process ends although a call hangs that nothing can end."""

import subprocess
import sys

import pytest

HANGS = """
import asyncio, logging, threading
from agent.blocking import BlockingPool
from agent.main import end_soon

async def serve():
    pool = BlockingPool("stuck-pool")
    call = asyncio.ensure_future(pool.run(threading.Event().wait))
    await asyncio.sleep(0)
    pool.leave()
    await asyncio.wait([call])

logging.basicConfig()
asyncio.run(serve())
end_soon({code}, patience_s=0.1)
"""


@pytest.mark.parametrize("code", [0, 1])
def test_a_call_that_hangs_does_not_keep_the_process(code: int) -> None:
    program = [sys.executable, "-c", HANGS.format(code=code)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert "stuck-pool_0" in done.stderr
