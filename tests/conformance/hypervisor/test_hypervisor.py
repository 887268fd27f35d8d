"""What every hypervisor driver must do: each sentence of `agent/compute/driver.py`."""

import contextlib
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from horcrux.compute.domain import DomainPlan
from horcrux.compute.vm import RunState
from horcrux.errors import Conflict, HostLacks, Invalid, NotFound, Unreachable
from horcrux.ids import VmId
from tests.support.guests import Driver, World, plan_for

VM = VmId("vm-100")
VERBS = ("start", "stop", "shutdown", "reboot", "reset", "pause", "resume")


def verb_of(driver: Driver, verb: str) -> Callable[[VmId], Awaitable[None]]:
    call: Callable[[VmId], Awaitable[None]] = getattr(driver, verb)
    return call


async def started(driver: Driver, plan: DomainPlan | None = None) -> DomainPlan:
    plan = plan or plan_for(VM)
    await driver.define(plan)
    await driver.start(plan.vm_id)
    return plan


@pytest.mark.parametrize("verb", [*VERBS, "look"])
async def test_a_vm_that_is_not_defined_is_not_found(driver: Driver, verb: str) -> None:
    with pytest.raises(NotFound, match="vm-100"):
        await verb_of(driver, verb)(VM)


async def test_keys_for_a_vm_that_is_not_defined_find_nobody(driver: Driver) -> None:
    with pytest.raises(NotFound, match="vm-100"):
        await driver.send_keys(VM, [["a"]])


async def test_a_defined_vm_is_stopped_and_listed(driver: Driver) -> None:
    await driver.define(plan_for(VM))
    seen = await driver.look(VM)
    assert (seen.id, seen.state, seen.applied, seen.since) == (VM, RunState.STOPPED, None, None)
    assert await driver.list() == [seen]


async def test_the_list_is_sorted_by_id(driver: Driver) -> None:
    for vm_id in ("vm-2", "vm-10", "a.b_c-9"):
        await driver.define(plan_for(vm_id))
    assert [seen.id for seen in await driver.list()] == ["a.b_c-9", "vm-10", "vm-2"]


async def test_defining_again_the_same_changes_nothing(driver: Driver) -> None:
    plan = plan_for(VM)
    await driver.define(plan)
    await driver.define(plan)
    assert [seen.id for seen in await driver.list()] == [VM]


async def test_a_name_used_again_is_another_machine(driver: Driver) -> None:
    await driver.define(plan_for(VM, uuid="00000000-0000-4000-8000-000000000001"))
    await driver.define(plan_for(VM, uuid="00000000-0000-4000-8000-000000000002"))
    assert [seen.id for seen in await driver.list()] == [VM]


async def test_the_name_of_a_vm_that_runs_is_not_given_to_another_machine(driver: Driver) -> None:
    await started(driver)
    with pytest.raises(Conflict, match="vm-100"):
        await driver.define(plan_for(VM))


async def test_what_this_host_cannot_run_is_told(driver: Driver) -> None:
    with pytest.raises(HostLacks, match=r"UEFI.*riscv64"):
        await driver.define(plan_for(VM, architecture="riscv64", firmware="uefi"))
    with pytest.raises(HostLacks, match="blue"):
        await driver.define(plan_for(VM, nics=[{"mac": "52:54:00:00:00:01", "vnet": "blue"}]))
    assert await driver.list() == []


async def test_an_id_too_long_for_a_socket_is_refused(driver: Driver) -> None:
    with pytest.raises(Invalid, match="too long"):
        await driver.define(plan_for("v" * 120))


async def test_a_started_vm_runs_what_was_defined(driver: Driver) -> None:
    plan = await started(driver)
    seen = await driver.look(VM)
    assert (seen.state, seen.applied) == (RunState.RUNNING, plan.spec)
    assert seen.since is not None
    assert await driver.list() == [seen]


async def test_a_changed_definition_waits_for_the_next_start(driver: Driver) -> None:
    plan = await started(driver)
    changed = replace(plan, spec=replace(plan.spec, memory_mb=48))
    await driver.define(changed)
    assert (await driver.look(VM)).applied == plan.spec
    assert (await driver.list())[0].applied == plan.spec
    await driver.stop(VM)
    assert (await driver.look(VM)).applied is None
    await driver.start(VM)
    assert (await driver.look(VM)).applied == changed.spec
    assert (await driver.list())[0].applied == changed.spec


async def test_a_stopped_vm_can_be_started_and_nothing_else(driver: Driver) -> None:
    await driver.define(plan_for(VM))
    for verb in VERBS:
        if verb != "start":
            with pytest.raises(Conflict, match=f"cannot {verb} vm-100: it is stopped"):
                await verb_of(driver, verb)(VM)
    with pytest.raises(Conflict, match="stopped"):
        await driver.send_keys(VM, [["a"]])
    assert (await driver.look(VM)).state is RunState.STOPPED


async def test_a_running_vm_is_not_started_resumed_or_undefined(driver: Driver) -> None:
    await started(driver)
    for verb in ("start", "resume"):
        with pytest.raises(Conflict, match=f"cannot {verb} vm-100: it is running"):
            await verb_of(driver, verb)(VM)
    with pytest.raises(Conflict, match="running"):
        await driver.undefine(VM)
    assert (await driver.look(VM)).state is RunState.RUNNING


async def test_stopping_pulls_the_plug_at_once(driver: Driver) -> None:
    await started(driver)
    await driver.stop(VM)
    seen = await driver.look(VM)
    assert (seen.state, seen.reason, seen.applied) == (RunState.STOPPED, "destroyed", None)


async def test_a_paused_vm_stands_still_until_it_is_resumed(driver: Driver) -> None:
    plan = await started(driver)
    await driver.pause(VM)
    seen = await driver.look(VM)
    assert (seen.state, seen.reason, seen.applied) == (RunState.PAUSED, "user", plan.spec)
    for verb in ("start", "pause", "shutdown", "reboot", "reset"):
        with pytest.raises(Conflict, match=f"cannot {verb} vm-100: it is paused"):
            await verb_of(driver, verb)(VM)
    with pytest.raises(Conflict, match="paused"):
        await driver.undefine(VM)
    await driver.resume(VM)
    assert (await driver.look(VM)).state is RunState.RUNNING


async def test_a_paused_vm_can_be_stopped(driver: Driver) -> None:
    await started(driver)
    await driver.pause(VM)
    await driver.stop(VM)
    assert (await driver.look(VM)).state is RunState.STOPPED


async def test_reset_and_reboot_leave_it_running(driver: Driver) -> None:
    plan = await started(driver)
    await driver.reset(VM)
    await driver.reboot(VM)
    seen = await driver.look(VM)
    assert (seen.state, seen.applied) == (RunState.RUNNING, plan.spec)


async def test_a_guest_is_asked_to_shut_down(driver: Driver) -> None:
    """Firmware may not listen, so only that it was asked is promised."""
    await started(driver)
    await driver.shutdown(VM)
    assert (await driver.look(VM)).state in {RunState.RUNNING, RunState.STOPPING, RunState.STOPPED}


async def test_an_undefined_vm_is_gone_also_when_it_was_gone_before(driver: Driver) -> None:
    await driver.define(plan_for(VM))
    await driver.undefine(VM)
    await driver.undefine(VM)
    assert await driver.list() == []
    with pytest.raises(NotFound):
        await driver.look(VM)


async def test_keys_are_pressed_in_a_running_guest(driver: Driver) -> None:
    await started(driver)
    await driver.send_keys(VM, [["ctrl", "alt", "delete"], ["shift", "a"]])
    assert (await driver.look(VM)).state is RunState.RUNNING


async def test_an_unknown_key_is_named_and_nothing_is_pressed(driver: Driver) -> None:
    await started(driver)
    with pytest.raises(Invalid, match="warp"):
        await driver.send_keys(VM, [["a"], ["warp"]])


async def test_a_new_driver_finds_what_runs_and_what_it_was_started_with(world: World) -> None:
    async with world.open() as first:
        plan = await started(first)
        await first.define(replace(plan, spec=replace(plan.spec, cpu_cores=2)))
        before = await first.look(VM)
    async with world.open() as second:
        assert await second.list() == [before]
        assert before.applied == plan.spec
        await second.stop(VM)


async def test_a_vm_whose_process_died_has_crashed(world: World, driver: Driver) -> None:
    await started(driver)
    async with contextlib.aclosing(driver.watch()) as sightings:
        assert (await anext(sightings)).kind == "full"
        await world.crash(VM)
        async for sighting in sightings:
            if sighting.kind == "change" and sighting.seen[0].state is RunState.CRASHED:
                break
    seen = await driver.look(VM)
    assert (seen.state, seen.reason, seen.applied) == (RunState.CRASHED, "crashed", None)
    await driver.start(VM)
    assert (await driver.look(VM)).state is RunState.RUNNING


async def test_nothing_answers_while_the_hypervisor_is_away(world: World, driver: Driver) -> None:
    await driver.define(plan_for(VM))
    await world.lose()
    for call in (
        driver.look(VM),
        driver.list(),
        driver.start(VM),
        driver.define(plan_for("vm-2")),
        driver.undefine(VM),
    ):
        with pytest.raises(Unreachable):
            await call
    await world.come_back()
    assert [seen.id for seen in await driver.list()] == [VM]
