"""The process that lets a guest go on when the agent cannot, on real libvirt."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.compute.guard import start_guard
from horcrux.compute.domain import domain_name
from horcrux.compute.vm import RunState
from horcrux.errors import Unavailable
from horcrux.ids import VmId
from tests.support.guests import URI, Driver, LibvirtWorld, libvirt_world, plan_for
from tests.support.waiting import until

pytestmark = pytest.mark.libvirt

VM = VmId("vm-100")
ROOT = Path(__file__).parents[3]


@pytest.fixture
def world() -> Iterator[LibvirtWorld]:
    with libvirt_world() as world:
        yield world


@pytest.fixture
async def paused(world: LibvirtWorld) -> AsyncIterator[tuple[LibvirtWorld, Driver]]:
    """A guest whose processors stand still."""
    async with world.open() as driver:
        await driver.define(plan_for(VM))
        await driver.start(VM)
        await driver.pause(VM)
        yield world, driver


async def until_running(driver: Driver) -> None:
    await until(lambda: driver.look(VM), lambda seen: seen.state is RunState.RUNNING)


async def test_it_lets_the_guest_go_on_when_whoever_started_it_is_killed(
    paused: tuple[LibvirtWorld, Driver],
) -> None:
    world, driver = paused
    domain = domain_name(world.host.node_id, VM)
    script = (
        "import asyncio, os, signal\n"
        "from agent.compute.guard import start_guard\n"
        f"asyncio.run(start_guard({URI!r}, {domain!r}, 'resume', None))\n"
        "print('kill me', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=ROOT, stdout=-1)
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"kill me"
    assert (await driver.look(VM)).state is RunState.PAUSED
    process.kill()
    await process.wait()
    await until_running(driver)


async def test_it_lets_the_guest_go_on_when_nobody_says_a_word_in_time(paused: tuple[LibvirtWorld, Driver]) -> None:
    world, driver = paused
    guard = await start_guard(URI, domain_name(world.host.node_id, VM), "resume", 1)
    await until_running(driver)
    await guard.dismiss()


async def test_dismissed_it_does_nothing(paused: tuple[LibvirtWorld, Driver]) -> None:
    world, driver = paused
    guard = await start_guard(URI, domain_name(world.host.node_id, VM), "resume", None)
    await guard.dismiss()
    await guard.dismiss()
    assert (await driver.look(VM)).state is RunState.PAUSED


async def test_nothing_is_held_where_no_guard_can_be(paused: tuple[LibvirtWorld, Driver]) -> None:
    with pytest.raises(Unavailable, match="nothing was held still"):
        await start_guard(URI, "no-such-domain", "resume", None)
