"""The event stream of a whole node: what a console is told, and how it goes on after it was away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from horcrux.ids import VmId
from tests.support.agent_process import PASSWORD
from tests.support.api import Api, StreamedEvent
from tests.support.node import FakeNode, fake_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def viewer(shared_node: FakeNode, api: Api) -> AsyncIterator[Api]:
    await api.post("/api/auth/users", {"name": "vera", "password": PASSWORD, "role": "viewer"}, 201)
    async with shared_node.session(await shared_node.sign_in("vera")) as session:
        yield Api(session)


def story(events: list[StreamedEvent], kind: str, *names: str) -> list[tuple[object, ...]]:
    """What the events of a kind told of these members; () for gone."""
    return [tuple(e.data[n] for n in names) if e.data is not None else () for e in events if e.kind == kind]


async def test_a_creation_is_told_from_the_reservation_to_the_running_vm(api: Api) -> None:
    async with api.events() as stream:
        task = await api.begin("POST", "/api/vms", {"id": "told", "disks": [{"size_gb": 1}], "start": True})
        events = await stream.until("task", task, state="completed")
    assert story(events, "vm", "id", "status", "operation") == [
        ("told", "creating", task),
        ("told", "stopped", task),
        ("told", "running", task),
        ("told", "running", None),
    ]
    assert story(events, "volume", "name", "used_by") == [
        ("told-disk0", {"vm_id": "told", "disk": "disk0", "template": None}),
    ]
    told = story(events, "task", "state", "stage")
    assert told[:2] == [("queued", ""), ("running", "")]
    assert told[-1] == ("completed", "")
    assert ("running", "making disk0") in told
    progress = [e.data["progress"] for e in events if e.kind == "task" and e.data]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    assert [e.event_id for e in events] == sorted({e.event_id for e in events}, key=lambda i: int(i.split(".")[1]))


async def test_a_power_action_is_told_with_the_task_that_does_it_and_that_it_is_over(api: Api) -> None:
    await api.make("pow")
    async with api.events() as stream:
        task = await api.begin("POST", "/api/vms/pow/start")
        events = await stream.until("task", task, state="completed")
    assert story(events, "vm", "status", "operation") == [("stopped", task), ("running", task), ("running", None)]


async def test_a_shutdown_is_told_as_stopping_and_then_stopped(api: Api, shared_node: FakeNode) -> None:
    await api.make("down", start=True)
    shared_node.hypervisor.is_obedient = False
    async with api.events() as stream:
        task = await api.begin("POST", "/api/vms/down/shutdown", {"timeout_s": 60})
        events = await stream.until("vm", "down", status="stopping")
        shared_node.hypervisor.outside_stop(VmId("down"))
        events += await stream.until("task", task, state="completed")
    shared_node.hypervisor.is_obedient = True
    assert story(events, "vm", "status", "operation") == [
        ("running", task),
        ("stopping", task),
        ("stopped", task),
        ("stopped", None),
    ]


async def test_a_change_is_told_with_its_new_revision(api: Api) -> None:
    old = (await api.make("new"))["revision"]
    async with api.events() as stream:
        changed = await api.patch("/api/vms/new", {"name": "newer", "tags": ["t"]})
        events = await stream.until("vm", "new", revision=changed["revision"], operation=None)
    assert {e.data["revision"] for e in events if e.kind == "vm" and e.data} == {old, changed["revision"]}
    assert (events[-1].data or {})["name"] == "newer"
    row = next(row for row in await api.get("/api/vms") if row["id"] == "new")
    assert events[-1].data == row, "an event carries the row of the list"


async def test_a_deletion_is_told_to_the_last(api: Api) -> None:
    await api.make("bye", disks=[{"size_gb": 1}])
    async with api.events() as stream:
        task = await api.begin("DELETE", "/api/vms/bye")
        events = await stream.until("task", task, state="completed")
    assert story(events, "vm", "status", "operation") == [("stopped", task), ("deleting", task), ()]
    assert story(events, "volume", "name") == [()]


async def test_what_happens_outside_is_told(api: Api, shared_node: FakeNode) -> None:
    await api.make("out", start=True)
    async with api.events() as stream:
        shared_node.hypervisor.crash(VmId("out"))
        events = await stream.until("vm", "out", status="crashed")
    assert len(events) == 1


async def test_a_call_that_changed_nothing_tells_nothing_of_the_vm_but_its_task(api: Api) -> None:
    await api.make("same", start=True)
    async with api.events() as stream:
        task = await api.begin("POST", "/api/vms/same/start")
        events = await stream.until("task", task, state="completed")
    assert story(events, "vm", "status", "operation") == [("running", task), ("running", None)]


async def test_who_comes_back_misses_nothing_and_gets_nothing_twice(api: Api) -> None:
    await api.make("gap")
    async with api.events() as stream:
        task = await api.begin("POST", "/api/vms/gap/start")
        whole = await stream.until("task", task, state="completed")
        async with api.events(last=whole[0].event_id) as resumed:
            again = await resumed.until("task", task, state="completed")
        assert [e.event_id for e in again] == [e.event_id for e in whole[1:]]
        second = await api.begin("POST", "/api/vms/gap/stop")
        whole += await stream.until("task", second, state="completed")
    async with api.events(last=again[-1].event_id) as resumed:
        rest = await resumed.until("task", second, state="completed")
    assert [e.event_id for e in again + rest] == [e.event_id for e in whole[1:]]


async def test_an_id_of_another_life_gets_a_reset_first(api: Api) -> None:
    async with api.events(last="0123456789abcdef.5") as stream:
        event = await stream.next()
        assert event is not None
        assert (event.kind, event.data) == ("reset", None)
        await api.make("after")
        assert (await stream.next() or event).kind != "reset"


async def test_a_viewer_is_told_of_vms_and_tasks_but_not_of_users_and_tokens(api: Api, viewer: Api) -> None:
    async with viewer.events() as seen, api.events() as all_:
        await api.post("/api/auth/users", {"name": "bob", "password": PASSWORD, "role": "viewer"}, 201)
        await api.make("seen")
        told = await seen.until("vm", "seen", status="stopped", operation=None)
        everything = await all_.until("vm", "seen", status="stopped", operation=None)
    assert "user" in {e.kind for e in everything}
    assert {e.kind for e in told} == {"vm", "task"}


async def test_the_stream_ends_with_the_session(shared_node: FakeNode) -> None:
    async with shared_node.session() as session:
        own = Api(session)
        async with own.events() as stream:
            await own.post("/api/auth/logout")
            while await stream.next() is not None:
                pass  # what was told before it ended
        assert (await own.call("GET", "/api/events")).status == 401


async def test_the_stream_ends_when_the_agent_stops(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as session:
        async with fake_node(tmp_path) as node:
            headers = {"Authorization": f"Bearer {await node.sign_in()}"}
            answer = await session.get(f"{node.url}/api/events", headers=headers)
            assert await answer.content.readline() == b"retry: 2000\n"
        async with asyncio.timeout(5):
            assert await answer.content.read() == b"\n"
