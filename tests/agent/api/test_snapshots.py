"""Snapshots of VMs, on a whole node in memory."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.compute.fake_snapshots import FakeSnapshots
from horcrux.ids import VmId
from tests.support.api import Api
from tests.support.node import FakeNode, pool_named

pytestmark = pytest.mark.asyncio(loop_scope="module")


def guests_of(node: FakeNode) -> FakeSnapshots:
    assert node.host.drivers is not None
    guests = node.host.drivers.guest_snapshots
    assert isinstance(guests, FakeSnapshots)
    return guests


async def take(api: Api, vm_id: str, name: str, **order: object) -> Mapping[str, object]:
    taken: Mapping[str, object] = await api.post(f"/api/vms/{vm_id}/snapshots", {"name": name, **order}, 201)
    return taken


async def tree(api: Api, vm_id: str) -> dict[str, str | None]:
    """Parent by name, oldest first."""
    return {s["name"]: s["parent"] for s in await api.get(f"/api/vms/{vm_id}/snapshots")}


async def current(api: Api, vm_id: str) -> list[str]:
    return [s["name"] for s in await api.get(f"/api/vms/{vm_id}/snapshots") if s["is_current"]]


async def test_a_snapshot_of_a_stopped_vm_is_whole_and_what_it_stands_on(api: Api) -> None:
    await api.make("still", disks=[{"size_gb": 1}, {"size_gb": 2}])
    assert await api.get("/api/vms/still/snapshots") == []
    taken = await take(api, "still", "first", description="before the update")
    assert taken == {
        "name": "first",
        "description": "before the update",
        "created_at": taken["created_at"],
        "parent": None,
        "is_current": True,
        "has_memory": False,
        "is_consistent": True,
        "was_running": False,
        "state": "ready",
        "size_bytes": None,
    }
    assert await api.get("/api/vms/still/snapshots") == [taken]
    shown = await api.get("/api/vms/still")
    assert (shown["snapshots"], shown["status"], shown["reverting"]) == (1, "stopped", None)
    for volume in ("still-disk0", "still-disk1"):
        kept = await api.get(f"/api/storage/local/volumes/{volume}/snapshots")
        assert [k["name"] for k in kept] == ["first"]


async def test_snapshots_are_a_tree_that_reverts_branch(api: Api) -> None:
    await api.make("tree", disks=[{"size_gb": 1}])
    for name in ("a", "b", "c"):
        await take(api, "tree", name)
    assert await tree(api, "tree") == {"a": None, "b": "a", "c": "b"}
    await api.post("/api/vms/tree/snapshots/a/revert", {})
    assert await current(api, "tree") == ["a"]
    await take(api, "tree", "d")
    assert await tree(api, "tree") == {"a": None, "b": "a", "c": "b", "d": "a"}
    assert await current(api, "tree") == ["d"]


async def test_any_snapshot_can_be_deleted_and_its_children_stand_on_its_parent(api: Api) -> None:
    await api.make("prune", disks=[{"size_gb": 1}])
    for name in ("a", "b", "c"):
        await take(api, "prune", name)
    await api.delete("/api/vms/prune/snapshots/b")
    assert await tree(api, "prune") == {"a": None, "c": "a"}
    await api.delete("/api/vms/prune/snapshots/c")
    assert (await tree(api, "prune"), await current(api, "prune")) == ({"a": None}, ["a"])
    await api.delete("/api/vms/prune/snapshots/a")
    assert await api.get("/api/vms/prune/snapshots") == []
    assert await api.get("/api/storage/local/volumes/prune-disk0/snapshots") == []
    await take(api, "prune", "again")
    assert await tree(api, "prune") == {"again": None}


async def test_a_revert_brings_settings_back_with_the_disks(api: Api) -> None:
    made = await api.make("settings", disks=[{"size_gb": 1}], cpu_cores=1, name="before")
    await take(api, "settings", "s")
    await api.patch("/api/vms/settings", {"cpu_cores": 4, "memory_mb": 256, "name": "after", "tags": ["kept"]})
    back = await api.post("/api/vms/settings/snapshots/s/revert", {})
    assert (back["cpu_cores"], back["memory_mb"], back["name"], back["tags"]) == (1, 64, "before", ["kept"])
    assert back["nics"] == made["nics"]
    assert (back["status"], back["operation"]) == ("stopped", None)


@pytest.mark.parametrize(
    ("ran", "start", "after"),
    [
        (True, None, "running"),
        (True, False, "stopped"),
        (False, None, "stopped"),
        (False, True, "running"),
    ],
)
async def test_after_a_revert_the_vm_is_as_it_was_unless_told_otherwise(
    api: Api, ran: bool, start: bool | None, after: str
) -> None:
    vm_id = f"as-{ran}-{start}".lower()
    await api.make(vm_id, disks=[{"size_gb": 1}], start=ran)
    taken = await take(api, vm_id, "s")
    assert (taken["was_running"], taken["is_consistent"]) == (ran, not ran)
    if not ran:
        await api.post(f"/api/vms/{vm_id}/start")
    body: dict[str, object] = {} if start is None else {"start": start}
    assert (await api.post(f"/api/vms/{vm_id}/snapshots/s/revert", body))["status"] == after


async def test_with_memory_the_guest_goes_on_where_it_was(api: Api, shared_node: FakeNode) -> None:
    guests = guests_of(shared_node)
    await api.make("memory", disks=[{"size_gb": 1}], start=True)
    guests.counters[VmId("memory")] = 7
    taken = await take(api, "memory", "s", memory=True)
    assert (taken["has_memory"], taken["is_consistent"]) == (True, True)
    assert isinstance(taken["size_bytes"], int)
    assert taken["size_bytes"] > 0
    assert (await api.get("/api/vms/memory"))["status"] == "running"
    guests.counters[VmId("memory")] = 99
    assert (await api.post("/api/vms/memory/snapshots/s/revert", {}))["status"] == "running"
    assert guests.counters[VmId("memory")] == 7
    assert (await api.post("/api/vms/memory/snapshots/s/revert", {"start": False}))["status"] == "stopped"


async def test_memory_of_a_vm_that_does_not_run_is_refused(api: Api) -> None:
    await api.make("no-memory", disks=[{"size_gb": 1}])
    refused = await api.post("/api/vms/no-memory/snapshots", {"name": "s", "memory": True}, 409)
    assert "no memory to keep" in refused["error"]
    assert await api.get("/api/vms/no-memory/snapshots") == []


async def test_file_systems_are_frozen_when_an_agent_answers(api: Api, shared_node: FakeNode) -> None:
    guests = guests_of(shared_node)
    await api.make("frozen", disks=[{"size_gb": 1}], start=True)
    guests.agents.add(VmId("frozen"))
    before = guests.freezes
    assert (await take(api, "frozen", "a"))["is_consistent"] is True
    assert (await take(api, "frozen", "b", freeze="always"))["is_consistent"] is True
    assert guests.freezes == before + 2
    assert (await take(api, "frozen", "c", freeze="never"))["is_consistent"] is False
    assert guests.freezes == before + 2
    assert guests.frozen == set()


async def test_a_freeze_that_must_be_is_refused_without_an_agent_and_says_what_to_install(api: Api) -> None:
    await api.make("agentless", disks=[{"size_gb": 1}], start=True)
    refused = await api.post("/api/vms/agentless/snapshots", {"name": "s", "freeze": "always"}, 409)
    assert "install qemu-guest-agent" in refused["error"]
    assert await api.get("/api/vms/agentless/snapshots") == []
    assert (await take(api, "agentless", "s"))["is_consistent"] is False


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "1"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "a..b"}, "name"),
        ({"name": "a" * 41}, "name"),
        ({"name": "a", "description": "x" * 1025}, "description"),
        ({"name": "a", "memory": True, "freeze": "always"}, "freeze"),
    ],
)
async def test_what_cannot_be_right_is_refused_by_field(api: Api, order: dict[str, object], field: str) -> None:
    if "wrong" not in {vm["id"] for vm in await api.get("/api/vms")}:
        await api.make("wrong")
    refused = await api.post("/api/vms/wrong/snapshots", order, 400)
    assert [problem["field"] for problem in refused["fields"]] == [field]


async def test_a_name_that_is_taken_is_refused(api: Api) -> None:
    await api.make("twice-taken", disks=[{"size_gb": 1}])
    await take(api, "twice-taken", "s")
    refused = await api.post("/api/vms/twice-taken/snapshots", {"name": "s"}, 409)
    assert refused["code"] == "already_exists"


async def test_a_snapshot_that_others_made_is_not_taken_for_ours(api: Api, shared_node: FakeNode) -> None:
    await api.make("foreign", disks=[{"size_gb": 1}])
    pool = pool_named("local")
    await shared_node.host.storage.snapshots(pool).snapshot_volumes(pool, ["foreign-disk0"], "theirs")
    refused = await api.post("/api/vms/foreign/snapshots", {"name": "theirs"}, 409)
    assert (refused["code"], refused["volume"]) == ("already_exists", "foreign-disk0")
    kept = await api.get("/api/storage/local/volumes/foreign-disk0/snapshots")
    assert [k["name"] for k in kept] == ["theirs"]


async def test_there_is_a_limit(api: Api) -> None:
    await api.make("many")
    for number in range(64):
        await take(api, "many", f"s{number}")
    refused = await api.post("/api/vms/many/snapshots", {"name": "more"}, 409)
    assert (refused["code"], refused["limit"]) == ("conflict", 64)


async def test_unknown_vms_and_snapshots_are_404(api: Api) -> None:
    await api.make("known")
    await api.get("/api/vms/nobody/snapshots", 404)
    await api.post("/api/vms/nobody/snapshots", {"name": "s"}, 404)
    await api.delete("/api/vms/known/snapshots/none", 404)
    assert (await api.post("/api/vms/known/snapshots/none/revert", {}, 404))["kind"] == "snapshot"


async def test_a_revert_that_cannot_be_touches_nothing(api: Api, shared_node: FakeNode) -> None:
    """The snapshot was removed from one of two disks behind our back."""
    await api.make("half", disks=[{"size_gb": 1}, {"size_gb": 1}], start=True)
    await take(api, "half", "s")
    pool = pool_named("local")
    await shared_node.host.storage.snapshots(pool).delete_snapshot(pool, "half-disk1", "s")
    refused = await api.post("/api/vms/half/snapshots/s/revert", {}, 404)
    assert (refused["volume"], refused["snapshot"]) == ("half-disk1", "s")
    assert (await api.get("/api/vms/half"))["status"] == "running"


async def test_deleting_the_vm_deletes_its_snapshots_and_memory(api: Api, shared_node: FakeNode) -> None:
    await api.make("gone", disks=[{"size_gb": 1}], start=True)
    await take(api, "gone", "s", memory=True)
    folder = shared_node.folder / "state" / "memory" / "gone"
    assert await asyncio.to_thread(modes, folder) == {"s.save": 0o600}
    await api.delete("/api/vms/gone", params={"force": "true"})
    assert await asyncio.to_thread(modes, folder) == {}


def modes(folder: Path) -> dict[str, int]:
    """Of the files in it; none where it is not there."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*")}


async def test_a_changed_vm_shows_in_the_list_without_its_snapshots(api: Api) -> None:
    await api.make("listed", disks=[{"size_gb": 1}])
    before = next(vm for vm in await api.get("/api/vms") if vm["id"] == "listed")
    await take(api, "listed", "s")
    after = next(vm for vm in await api.get("/api/vms") if vm["id"] == "listed")
    assert after["revision"] > before["revision"]
    assert {**after, "revision": 0} == {**before, "revision": 0}
