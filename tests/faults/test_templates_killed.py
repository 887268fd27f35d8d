"""The agent is killed (-9) at every step of making, cloning and deleting templates: what is left is a whole template or none,
a whole VM or none, and never a clone without its base."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.faults.test_kill_at_every_step import MOST_STEPS, Act, killed_by, nothing_hangs, on_host
from tests.support.agent_process import AgentProcess, agent_process

pytestmark = pytest.mark.libvirt

TEMPLATES = "/api/templates"
Before = Callable[[aiohttp.ClientSession], Awaitable[None]]
After = Before


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    async with agent_process() as agent:
        yield agent


async def everything_is_whole(api: aiohttp.ClientSession, agent: AgentProcess) -> None:
    """Every volume belongs to a VM or a template that is ready, every base is there, libvirt knows the same VMs as we do."""
    wanted, bases, vms = set(), set(), await rows(api, "/api/vms")
    for vm in vms:
        async with api.get(f"/api/vms/{vm['id']}") as answer:
            whole = await answer.json()
        assert (whole["status"], whole["operation"]) == ("stopped", None)
        wanted |= {disk["volume"] for disk in whole["disks"]}
        bases |= {disk["base"] for disk in whole["disks"] if disk["base"]}
    for template in await rows(api, TEMPLATES):
        assert (template["state"], template["operation"]) == ("ready", None)
        wanted |= {disk["volume"] for disk in template["disks"]}
    async with api.get("/api/storage/local/volumes") as answer:
        assert {v["name"] for v in await answer.json()} == wanted
    assert bases <= wanted
    files, domains = await asyncio.to_thread(on_host, agent)
    assert files == wanted
    assert domains == {vm["id"] for vm in vms}


async def rows(api: aiohttp.ClientSession, path: str) -> list[dict[str, Any]]:
    async with api.get(path) as answer:
        assert answer.status == 200
        found: list[dict[str, Any]] = await answer.json()
        return found


async def expect(*statuses: int, call: Awaitable[aiohttp.ClientResponse]) -> None:
    answer = await call
    async with answer:
        assert answer.status in statuses, await answer.text()


async def make_golden(api: aiohttp.ClientSession) -> None:
    """A VM `vm-1` with two disks, unless it is there."""
    order = {"id": "vm-1", "memory_mb": 64, "disks": [{"size_gb": 0.05}, {"size_gb": 0.05}], "firmware": "uefi"}
    await expect(201, 409, call=api.post("/api/vms", json=order))


async def make_template(api: aiohttp.ClientSession) -> None:
    await make_golden(api)
    await expect(201, 409, call=api.post(TEMPLATES, json={"vm_id": "vm-1"}))


async def delete_all(api: aiohttp.ClientSession, path: str) -> None:
    """Whatever came to be can be deleted like any other."""
    for row in await rows(api, path):
        await expect(204, call=api.delete(f"{path}/{row['id']}"))


async def ids(api: aiohttp.ClientSession) -> tuple[set[str], set[str]]:
    """Of VMs, and of templates."""
    return {vm["id"] for vm in await rows(api, "/api/vms")}, {t["id"] for t in await rows(api, TEMPLATES)}


async def kill_at_every_step(agent: AgentProcess, action: str, before: Before, act: Act, after: After) -> int:
    """Kills at step 1, 2, … of `action` until it comes through, each time after `before`; how many steps there were. The next
    life finds everything whole, also once `after` has looked at it and cleared away; it is killed itself at the next step, so
    neither of them may be the same action."""
    await agent.stop()
    for step in range(1, MOST_STEPS):
        await agent.start(fail_at=f"{action}:{step}")
        async with agent.session() as api:
            if step > 1:
                await check(agent, api, after)
            await before(api)
        if not await killed_by(agent, act):
            async with agent.session() as api:
                await check(agent, api, after)
            return step - 1
    raise AssertionError(f"{action} has more than {MOST_STEPS} steps")


async def check(agent: AgentProcess, api: aiohttp.ClientSession, after: After) -> None:
    await nothing_hangs(api)
    await everything_is_whole(api, agent)
    await after(api)
    await everything_is_whole(api, agent)


async def test_a_copy_leaves_the_vm_and_a_whole_template_or_none(agent: AgentProcess) -> None:
    async def after(api: aiohttp.ClientSession) -> None:
        vms, templates = await ids(api)
        assert vms == {"vm-1"}
        assert templates <= {"tmpl-1"}
        await delete_all(api, TEMPLATES)

    def create(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.post(TEMPLATES, json={"vm_id": "vm-1"})

    assert await kill_at_every_step(agent, "template.create", make_golden, create, after) >= 12


async def test_a_vm_that_is_turned_is_a_vm_or_a_template(agent: AgentProcess) -> None:
    async def after(api: aiohttp.ClientSession) -> None:
        assert await ids(api) in [({"vm-1"}, set()), (set(), {"tmpl-1"})]
        await delete_all(api, TEMPLATES)

    def turn(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.post(TEMPLATES, json={"vm_id": "vm-1", "keep_vm": False})

    assert await kill_at_every_step(agent, "template.create", make_golden, turn, after) >= 9


@pytest.mark.parametrize("clone_type", ["linked", "full"])
async def test_a_clone_is_whole_or_not_there(agent: AgentProcess, clone_type: str) -> None:
    async def turned(api: aiohttp.ClientSession) -> None:
        if not await rows(api, TEMPLATES):
            await make_golden(api)
            await expect(201, call=api.post(TEMPLATES, json={"vm_id": "vm-1", "keep_vm": False}))

    async def after(api: aiohttp.ClientSession) -> None:
        vms, templates = await ids(api)
        assert vms <= {"clone"}
        assert templates == {"tmpl-1"}
        await delete_all(api, "/api/vms")

    def clone(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        order = {"new_vm_id": "clone", "clone_type": clone_type}
        return api.post(f"{TEMPLATES}/tmpl-1/clone", json=order)

    assert await kill_at_every_step(agent, "template.clone", turned, clone, after) >= 9


async def test_a_template_is_deleted_wholly_or_not(agent: AgentProcess) -> None:
    async def after(api: aiohttp.ClientSession) -> None:
        vms, templates = await ids(api)
        assert vms == {"vm-1"}
        assert templates <= {"tmpl-1"}

    def delete(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.delete(f"{TEMPLATES}/tmpl-1")

    assert await kill_at_every_step(agent, "template.delete", make_template, delete, after) >= 8


async def test_a_copy_of_a_vm_is_whole_or_not_there(agent: AgentProcess) -> None:
    async def after(api: aiohttp.ClientSession) -> None:
        vms, _ = await ids(api)
        assert vms in [{"vm-1"}, {"vm-1", "clone"}]
        await expect(204, 404, call=api.delete("/api/vms/clone"))

    def copy(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return api.post("/api/vms/vm-1/clone", json={"new_vm_id": "clone"})

    assert await kill_at_every_step(agent, "vm.clone", make_golden, copy, after) >= 9
