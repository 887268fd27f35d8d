"""What a watch tells, and how soon."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pytest

from agent.compute.driver import Sighting
from horcrux.compute.vm import RunState
from horcrux.ids import VmId
from tests.support.guests import Driver, World, plan_for

VM = VmId("vm-100")
SOON_S = 2
"""What the protocol promises."""


@pytest.fixture
async def watch(driver: Driver) -> AsyncIterator[AsyncGenerator[Sighting, None]]:
    """A watch on a host that has one stopped VM; its first sighting has been read."""
    await driver.define(plan_for(VM))
    sightings = driver.watch()
    first = await anext(sightings)
    assert (first.kind, [seen.id for seen in first.seen]) == ("full", [VM])
    yield sightings
    await sightings.aclose()


async def until(sightings: AsyncGenerator[Sighting, None], wanted: Callable[[Sighting], bool]) -> Sighting:
    async with asyncio.timeout(SOON_S):
        return await anext(s async for s in sightings if wanted(s))


def is_now(vm_id: VmId, state: RunState) -> Callable[[Sighting], bool]:
    return lambda s: s.kind == "change" and s.seen[0].id == vm_id and s.seen[0].state is state


async def test_our_own_acts_are_seen(driver: Driver, watch: AsyncGenerator[Sighting, None]) -> None:
    plan = plan_for("vm-2")
    await driver.define(plan)
    await until(watch, is_now(plan.vm_id, RunState.STOPPED))
    await driver.start(plan.vm_id)
    running = await until(watch, is_now(plan.vm_id, RunState.RUNNING))
    assert running.seen[0].applied == plan.spec
    await driver.pause(plan.vm_id)
    await until(watch, is_now(plan.vm_id, RunState.PAUSED))


async def test_a_stop_from_outside_is_seen(driver: Driver, world: World, watch: AsyncGenerator[Sighting, None]) -> None:
    await driver.start(VM)
    await until(watch, is_now(VM, RunState.RUNNING))
    await world.outside_stop(VM)
    seen = (await until(watch, is_now(VM, RunState.STOPPED))).seen[0]
    assert (seen.reason, seen.applied) == ("destroyed", None)


async def test_a_removal_from_outside_is_seen(world: World, watch: AsyncGenerator[Sighting, None]) -> None:
    await world.outside_undefine(VM)
    gone = await until(watch, lambda s: s.kind == "gone")
    assert [seen.id for seen in gone.seen] == [VM]


async def test_a_lost_hypervisor_is_told_once_and_then_listed_anew(
    driver: Driver, world: World, watch: AsyncGenerator[Sighting, None]
) -> None:
    await driver.start(VM)
    await until(watch, is_now(VM, RunState.RUNNING))
    await world.lose()
    await until(watch, lambda s: s.kind == "lost")
    await world.come_back()
    async with asyncio.timeout(SOON_S):
        back = await anext(watch)
    assert (back.kind, [(seen.id, seen.state) for seen in back.seen]) == ("full", [(VM, RunState.RUNNING)])


async def test_two_watches_see_the_same(driver: Driver, watch: AsyncGenerator[Sighting, None]) -> None:
    other = driver.watch()
    assert (await anext(other)).kind == "full"
    await driver.start(VM)
    assert await until(watch, is_now(VM, RunState.RUNNING)) == await until(other, is_now(VM, RunState.RUNNING))
    await other.aclose()
