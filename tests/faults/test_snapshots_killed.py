"""The agent is killed (-9) at every step of taking, deleting and reverting to snapshots: of a VM that is off, of one whose memory
is kept, and of one whose file systems are frozen meanwhile. What is left is a whole snapshot or none, and no guest ever stays
frozen or still."""

import asyncio
import contextlib
import functools
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.faults.test_kill_at_every_step import killed_by, nothing_hangs
from tests.support.agent_image import MEMORY_MB, agent_image
from tests.support.agent_process import AgentProcess, agent_process
from tests.support.waiting import until

pytestmark = pytest.mark.libvirt

MOST_STEPS = 30
BOOT_S = 300.0
VM = "/api/vms/victim"
BASE = f"{VM}/snapshots"
CREATE = "vm.snapshot.create"
GO_ON_S = 20.0
"""How long a guest may take to go on after the agent was killed and before it is started again."""


@pytest.fixture
async def agent() -> AsyncIterator[AgentProcess]:
    async with agent_process() as agent:
        yield agent


async def make(agent: AgentProcess, **order: object) -> None:
    disks = [{"size_gb": 0.01}, {"size_gb": 0.01}]
    async with agent.session() as api:
        body = {"id": "victim", "memory_mb": 64, "nics": [], "disks": disks, **order}
        async with api.post("/api/vms", json=body) as answer:
            assert answer.status == 201, await answer.text()


async def take(api: aiohttp.ClientSession, name: str = "s", **order: object) -> aiohttp.ClientResponse:
    return await api.post(BASE, json={"name": name, **order})


async def get(api: aiohttp.ClientSession, path: str) -> object:
    async with api.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def on_disks(agent: AgentProcess) -> dict[str, list[str]]:
    """Names of the snapshots in each volume, as QEMU reads them."""
    found = {}
    for path in (agent.state_dir / "pools" / "local").glob("victim-*.qcow2"):
        words = ["qemu-img", "snapshot", "-U", "-l", str(path)]
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[2:]
        found[path.stem] = [line.split()[1] for line in lines]
    return found


def kept_files(agent: AgentProcess) -> set[str]:
    return {path.name for path in (agent.state_dir / "memory").rglob("*") if path.is_file()}


async def is_whole(agent: AgentProcess, api: aiohttp.ClientSession, *states: str) -> list[str]:
    """The VM is in one of `states`, nothing works on it, and its disks have the snapshots that it tells of. Their names."""
    await nothing_hangs(api)
    shown = await get(api, VM)
    assert isinstance(shown, dict)
    assert (shown["status"] in states, shown["operation"], shown["reverting"]) == (True, None, None), shown
    snapshots = await get(api, BASE)
    assert isinstance(snapshots, list)
    assert {snapshot["state"] for snapshot in snapshots} <= {"ready"}
    names = [str(snapshot["name"]) for snapshot in snapshots]
    disks = await asyncio.to_thread(on_disks, agent)
    assert disks == {"victim-disk0": names, "victim-disk1": names}
    assert await asyncio.to_thread(kept_files, agent) == {f"{s['name']}.save" for s in snapshots if s["has_memory"]}
    return names


Check = Callable[[aiohttp.ClientSession, bool], Awaitable[None]]
Act = Callable[[aiohttp.ClientSession], Awaitable[aiohttp.ClientResponse]]


async def kill_at_every_step(
    agent: AgentProcess,
    action: str,
    act: Act,
    check: Check,
    *,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """How many steps there were. After each death, and before the next life, `meanwhile` comes true; `check` is asked in the next
    life, with whether the last one came through, and leaves things so that the action can be asked for again."""
    was_killed = False
    for step in range(1, MOST_STEPS):
        if not was_killed:
            await agent.stop()
        elif meanwhile is not None:
            await meanwhile()
        await agent.start(fail_at=f"{action}:{step}")
        if was_killed:
            async with agent.session() as api:
                await check(api, False)
        was_killed = await killed_by(agent, act)
        if not was_killed:
            async with agent.session() as api:
                await check(api, True)
            return step - 1
    raise AssertionError(f"{action} has more than {MOST_STEPS} steps")


def whole_or_none(agent: AgentProcess, state: str) -> Check:
    """Afterwards there is none."""

    async def check(api: aiohttp.ClientSession, is_done: bool) -> None:
        names = await is_whole(agent, api, state)
        assert names == ["s"] or not is_done
        if names:
            async with api.delete(f"{BASE}/s") as answer:
                assert answer.status == 204, await answer.text()

    return check


async def goes_on(agent: AgentProcess) -> None:
    """The guest runs again although no agent is there."""
    name = f"hx-{await asyncio.to_thread(agent.node_id)}-victim"
    state = functools.partial(asyncio.to_thread, virsh, "domstate", name)
    await until(state, lambda state: state == "running", timeout_s=GO_ON_S)


def virsh(*words: str) -> str:
    done = subprocess.run(["virsh", "-q", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()


async def test_a_snapshot_of_a_stopped_vm_is_whole_or_none(agent: AgentProcess) -> None:
    await make(agent)
    assert await kill_at_every_step(agent, CREATE, take, whole_or_none(agent, "stopped")) >= 6


async def test_a_snapshot_with_memory_is_whole_or_none_and_the_guest_goes_on_without_us(agent: AgentProcess) -> None:
    await make(agent, start=True)

    def take_all(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return take(api, memory=True)

    async def runs() -> None:
        await goes_on(agent)

    steps = await kill_at_every_step(agent, CREATE, take_all, whole_or_none(agent, "running"), meanwhile=runs)
    assert steps >= 9


@pytest.mark.parametrize("state", ["stopped", "running"])
async def test_a_deletion_goes_to_its_end_once_it_began(agent: AgentProcess, state: str) -> None:
    await make(agent, start=state == "running")

    async def take_one(api: aiohttp.ClientSession) -> None:
        async with await take(api) as answer:
            assert answer.status == 201, await answer.text()

    async def check(api: aiohttp.ClientSession, is_done: bool) -> None:
        names = await is_whole(agent, api, state)
        assert names in ([], ["s"])
        assert not (is_done and names)
        if not names and not is_done:
            await take_one(api)

    async with agent.session() as api:
        await take_one(api)
    assert await kill_at_every_step(agent, "vm.snapshot.delete", lambda api: api.delete(f"{BASE}/s"), check) >= 5


@pytest.mark.parametrize("memory", [False, True])
async def test_a_revert_goes_to_its_end_once_it_began(agent: AgentProcess, memory: bool) -> None:
    """Whether it began is told by the process of the guest; its settings have been changed since the snapshot."""
    await make(agent, start=True)
    pids = [""]

    async def change(api: aiohttp.ClientSession) -> None:
        async with api.patch(VM, json={"memory_mb": 80}) as answer:
            assert answer.status == 200, await answer.text()
        pids.append(await asyncio.to_thread(qemu_pid, agent))

    async def check(api: aiohttp.ClientSession, is_done: bool) -> None:
        assert await is_whole(agent, api, "running") == ["s"]
        shown = await get(api, VM)
        assert isinstance(shown, dict)
        has_begun = await asyncio.to_thread(qemu_pid, agent) != pids[-1]
        assert shown["memory_mb"] == (64 if has_begun else 80)
        assert has_begun or not is_done
        await change(api)

    async with agent.session() as api:
        async with await take(api, memory=memory) as answer:
            assert answer.status == 201, await answer.text()
        await change(api)
    steps = await kill_at_every_step(
        agent, "vm.snapshot.revert", lambda api: api.post(f"{BASE}/s/revert", json={}), check
    )
    assert steps >= 9


def qemu_pid(agent: AgentProcess) -> str:
    """Of the guest that runs now."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/run/libvirt/qemu/hx-{agent.node_id()}-victim.pid").read_text()
    return ""


async def test_a_guest_that_was_frozen_writes_again_whenever_we_die(agent: AgentProcess) -> None:
    """With a real guest agent, at every step. Nothing is started again before the guest has written."""
    image = await asyncio.to_thread(agent_image)
    async with agent.session() as api:
        content = await asyncio.to_thread(image.read_bytes)
        async with api.put("/api/storage/local/images/agent.qcow2", data=content) as answer:
            assert answer.status == 201, await answer.text()
    disks = [{"image": "agent.qcow2"}, {"size_gb": 0.1}]
    await make(agent, start=True, memory_mb=MEMORY_MB, disks=disks)
    await until_agent_answers(agent)

    def take_frozen(api: aiohttp.ClientSession) -> Awaitable[aiohttp.ClientResponse]:
        return take(api, freeze="always")

    async def writes() -> None:
        await writes_again(agent)

    check = whole_or_none(agent, "running")
    assert await kill_at_every_step(agent, CREATE, take_frozen, check, meanwhile=writes) >= 9


def beats(agent: AgentProcess) -> int:
    """How many synced writes the guest has told of."""
    return (agent.state_dir / "serial" / "victim.log").read_text(errors="replace").count("beat ")


async def until_agent_answers(agent: AgentProcess) -> None:
    name = f"hx-{await asyncio.to_thread(agent.node_id)}-victim"
    ask = ("qemu-agent-command", "--timeout", "5", name, '{"execute":"guest-ping"}')
    said = functools.partial(asyncio.to_thread, virsh, *ask)
    await until(said, lambda said: "return" in said, timeout_s=BOOT_S, every_s=0.5)
    await writes_again(agent, BOOT_S)


async def writes_again(agent: AgentProcess, seconds: float = GO_ON_S) -> None:
    """The guest's file system takes writes."""
    wanted = await asyncio.to_thread(beats, agent) + 2
    await until(functools.partial(asyncio.to_thread, beats, agent), lambda told: told >= wanted, timeout_s=seconds)
