"""The real clock, as far as it can be told apart from a broken one without waiting."""

import time

from cluster.clock import SystemClock


async def test_it_sleeps_by_the_clock_that_goes_on_while_the_host_is_suspended() -> None:
    clock = SystemClock()
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    await clock.sleep(0.02)
    assert began + 0.02 <= clock.monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_sleeping_for_no_time_returns() -> None:
    before = SystemClock().now()
    await SystemClock().sleep(-1)
    assert abs(SystemClock().now() - before) < 60
