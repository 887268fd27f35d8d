import asyncio
import threading

import pytest

from agent.blocking import BlockingPool


async def test_a_call_under_way_is_awaited_however_often_its_caller_is_cancelled() -> None:
    pool = BlockingPool("test")
    began, may_end = asyncio.Event(), threading.Event()
    ended: list[bool] = []
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(began.set)
        ended.append(may_end.wait(10))

    caller = asyncio.create_task(pool.run(work))
    await began.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not caller.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == [True]
    await asyncio.to_thread(pool.close)


async def test_a_call_that_hangs_is_left_when_nobody_can_wait_for_it() -> None:
    pool = BlockingPool("test")
    may_end = threading.Event()
    try:
        caller = asyncio.create_task(pool.run(may_end.wait))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
        assert pool.leave() == 1
        async with asyncio.timeout(5):
            with pytest.raises(asyncio.CancelledError):
                await caller
    finally:
        may_end.set()
