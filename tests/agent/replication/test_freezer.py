"""How a running guest stands still for a snapshot of its volumes, and what is told when it does not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.compute.fake import FakeHypervisor
from agent.compute.fake_snapshots import FakeSnapshots
from agent.compute.snapshot_stillness import Stillness
from agent.replication.freezer import GuestFreezer
from agent.tasks import TaskRun
from horcrux.compute.vm import RunState
from horcrux.errors import Unavailable
from horcrux.ids import TaskId, VmId
from tests.agent.storage.bench import ADA, Bench, running
from tests.support.guests import host_facts, plan_for

VM = VmId("web")


class Deaf(FakeSnapshots):
    """Its agent answers, and fails to freeze."""

    async def freeze(self, vm_id: VmId) -> None:
        raise Unavailable(f"{vm_id}: the guest agent gave up")


class Restless(FakeSnapshots):
    """Its file systems are let go before they are thawed."""

    async def thaw(self, vm_id: VmId) -> bool:
        await super().thaw(vm_id)
        return False


class Still:
    """The VM `web` runs; `frozen` tells of each time the work was done whether its guest stood still."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.hypervisor = FakeHypervisor(host_facts("/nowhere"))
        self.guests = FakeSnapshots(self.hypervisor)
        self.state = RunState.RUNNING
        self.by: TaskId | None = None
        self.frozen: list[bool] = []

    async def start(self) -> None:
        await self.hypervisor.define(plan_for(VM, disks=(), nics=()))
        await self.hypervisor.start(VM)

    async def run(self) -> tuple[bool, str]:
        """What the freezer says of a task's work, and all that the task told."""
        told: list[bool] = []
        freezer = GuestFreezer(
            Stillness(self.guests, self._bench.engine),
            self.guests,
            state_of=lambda _vm: self.state,
            task_of=lambda _lock: self.by,
        )

        async def work() -> None:
            self.frozen.append(VM in self.guests.frozen)

        async def body(run: TaskRun) -> None:
            told.append(await freezer.quietly(run, VM, work))

        task = await self._bench.engine.submit(ADA.order("test.freeze", "test/freeze"), body)
        await self._bench.done(task)
        ended = await self._bench.engine.wait(task.id)
        lines = [line.text for line in await self._bench.engine.log_of(task.id)]
        return told[0], "\n".join([*lines, *ended.warnings])


@pytest.fixture
async def still(tmp_path: Path) -> AsyncIterator[Still]:
    async with running(tmp_path) as bench:
        still = Still(bench)
        await still.start()
        yield still


async def test_a_running_guest_whose_agent_answers_stands_still_and_goes_on(still: Still) -> None:
    still.guests.agents.add(VM)
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen, still.guests.frozen) == (True, [True], set())
    assert "power cut" not in told


async def test_a_guest_without_agent_is_not_frozen_and_the_task_says_so(still: Still) -> None:
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen, still.guests.freezes) == (False, [False], 0)
    assert "no guest agent answers" in told


async def test_a_guest_that_another_task_works_on_is_not_frozen_and_the_task_names_that_one(still: Still) -> None:
    still.guests.agents.add(VM)
    still.by = TaskId("01J0000000000000000000000A")
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen, still.guests.freezes) == (False, [False], 0)
    assert f"task {still.by} works on its VM" in told
    assert "agent" not in told


async def test_a_paused_guest_is_not_frozen_and_the_task_says_so(still: Still) -> None:
    still.guests.agents.add(VM)
    await still.hypervisor.pause(VM)
    still.state = RunState.PAUSED
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen) == (False, [False])
    assert "it is paused" in told


async def test_the_work_is_done_once_where_the_guest_fails_to_freeze(still: Still) -> None:
    still.guests = Deaf(still.hypervisor)
    still.guests.agents.add(VM)
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen) == (False, [False])
    assert "could not be frozen" in told


async def test_a_guest_that_did_not_stay_frozen_counts_as_not_frozen(still: Still) -> None:
    still.guests = Restless(still.hypervisor)
    still.guests.agents.add(VM)
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen) == (False, [True])
    assert "did not stay frozen" in told


async def test_nobody_writes_to_the_volumes_of_a_stopped_guest(still: Still) -> None:
    still.state = RunState.STOPPED
    is_quiet, told = await still.run()
    assert (is_quiet, still.frozen, still.guests.freezes) == (True, [False], 0)
    assert "power cut" not in told
