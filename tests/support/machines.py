"""Machines, users and calls on a real agent, and the demo's guest in one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.support.agent_process import PASSWORD, AgentProcess
from tests.support.demo_image import SENTENCE
from tests.support.waiting import until

BOOT_S = 120.0


@asynccontextmanager
async def machine(agent: AgentProcess, **order: object) -> AsyncIterator[str]:
    """The id of a VM made by the API; afterwards it is gone."""
    async with agent.session() as api:
        async with api.post("/api/vms", json={"cpu_cores": 1, "memory_mb": 64, "nics": [], **order}) as answer:
            made = await answer.json()
            assert answer.status == 201, made
        vm_id = str(made["id"])
        try:
            yield vm_id
        finally:
            async with api.delete(f"/api/vms/{vm_id}", params={"force": "true", "wait_s": "60"}) as answer:
                assert answer.status in {204, 404}, await answer.text()


@asynccontextmanager
async def user(agent: AgentProcess, name: str, role: str) -> AsyncIterator[str]:
    """A user with the password of these tests; afterwards it is gone."""
    async with agent.session() as api:
        order = {"name": name, "password": PASSWORD, "role": role}
        async with api.post("/api/auth/users", json=order) as answer:
            assert answer.status == 201, await answer.text()
        try:
            yield name
        finally:
            async with api.delete(f"/api/auth/users/{name}") as answer:
                assert answer.status == 204, await answer.text()


async def call(api: aiohttp.ClientSession, method: str, path: str, **more: object) -> Mapping[str, object]:
    """The body of an answer that must be a success."""
    async with api.request(method, path, **more) as answer:  # type: ignore[arg-type]  # aiohttp's own types are per argument
        assert answer.status < 300, f"{method} {path}: {answer.status} {await answer.text()}"
        body: Mapping[str, object] = await answer.json() if answer.content_type == "application/json" else {}
        return body


class Guest:
    """The demo's guest: a shell on its screen and one on its serial line."""

    def __init__(self, agent: AgentProcess, vm_id: str) -> None:
        self._agent = agent
        self.id = vm_id

    async def log(self) -> str:
        """What its serial line said lately."""
        async with (
            self._agent.session() as api,
            api.get(f"/api/vms/{self.id}/serial", params={"tail": str(1 << 20)}) as answer,
        ):
            return await answer.text() if answer.status == 200 else ""

    async def until_said(self, words: str, times: int = 1, timeout_s: float = 30) -> None:
        """Its serial line has said `words` so often."""
        try:
            await until(self.log, lambda log: log.count(words) >= times, timeout_s=timeout_s, every_s=0.2)
        except TimeoutError:
            pytest.fail(f"{self.id} did not say {words!r} within {timeout_s} s but:\n{(await self.log())[-2000:]}")

    async def boots(self) -> int:
        """How often it has come up."""
        return (await self.log()).count(SENTENCE)

    async def until_prompt(self, boots: int) -> None:
        """The shell of its `boots`-th life waits on the serial line."""
        await self.until_said(SENTENCE, boots, BOOT_S)
        await until(self.log, lambda log: "hello:" in log.rpartition(SENTENCE)[2], timeout_s=BOOT_S, every_s=0.2)


def destroy_outside(agent: AgentProcess, vm_id: str) -> None:
    """As somebody with `virsh destroy` does, behind the agent's back. Blocks."""
    import libvirt

    connection = libvirt.open("qemu:///system")
    try:
        connection.lookupByName(f"hx-{agent.node_id()}-{vm_id}").destroy()
    finally:
        connection.close()
