"""Quotas over the whole node on the fakes: every way that takes capacity is bounded, and what is freed is free again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from horcrux.units import GIB
from tests.support.agent_process import PASSWORD
from tests.support.api import Api
from tests.support.node import FakeHost, FakeNode, fake_node

Served = tuple[FakeNode, Api]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A node with pools `local` and `other`, and admin bound to 10 GiB in all pools, `other` to 4 GiB."""
    async with fake_node(tmp_path) as node, node.session() as session:
        api = Api(session)
        await api.post("/api/storage", {"id": "other", "target": str(tmp_path / "other")}, 201)
        await api.post("/api/quotas", {"user": "admin", "limit_gb": 10}, 201)
        await api.post("/api/quotas", {"id": "small", "pool": "other", "limit_gb": 4}, 201)
        yield node, api


@pytest.fixture
def api(served: Served) -> Api:
    return served[1]


async def used(api: Api) -> dict[str, float]:
    return {quota["id"]: quota["used_gb"] for quota in await api.get("/api/quotas")}


async def test_a_quota_is_made_shown_changed_and_deleted(api: Api) -> None:
    made = await api.post("/api/quotas", {"pool": "local", "user": "admin", "limit_gb": 2.5}, 201)
    assert (made["id"], made["limit_bytes"], made["used_bytes"]) == ("admin.local", 5 * GIB // 2, 0)
    assert await api.get("/api/quotas/admin.local") == made
    changed = await api.patch("/api/quotas/admin.local", {"limit_gb": 3}, headers={"If-Match": f'"{made["revision"]}"'})
    assert changed["limit_gb"] == 3
    stale = await api.patch(
        "/api/quotas/admin.local", {"limit_gb": 9}, 412, headers={"If-Match": f'"{made["revision"]}"'}
    )
    assert stale["current"] == changed
    await api.delete("/api/quotas/admin.local")
    await api.get("/api/quotas/admin.local", 404)
    assert [quota["id"] for quota in await api.get("/api/quotas")] == ["admin", "small"]


async def test_a_quota_for_what_is_not_there_or_bounded_already_is_refused(api: Api) -> None:
    for order, field in (({"pool": "none"}, "pool"), ({"user": "nobody"}, "user"), ({}, "pool")):
        refused = await api.post("/api/quotas", {"limit_gb": 1, **order}, 400)
        assert refused["fields"][0]["field"] == field
    twice = await api.post("/api/quotas", {"id": "second", "pool": "other", "limit_gb": 1}, 409)
    assert twice["code"] == "already_exists"
    assert "small" in twice["error"]


async def test_a_vm_over_the_quota_is_refused_with_the_numbers_and_leaves_nothing(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 4}])
    refused = await api.post("/api/vms", {"id": "vm-2", "disks": [{"size_gb": 4}, {"size_gb": 3}]}, 409)
    assert refused["code"] == "quota_exceeded"
    assert (refused["limit_bytes"], refused["used_bytes"], refused["asked_bytes"]) == (10 * GIB, 4 * GIB, 7 * GIB)
    assert "user admin" in refused["error"]
    assert await used(api) == {"admin": 4, "small": 0}
    assert [volume["name"] for volume in await api.get("/api/storage/local/volumes")] == ["vm-1-disk0"]
    await api.get("/api/vms/vm-2", 404)
    await api.make("vm-2", disks=[{"size_gb": 4}, {"size_gb": 2}])
    await api.delete("/api/vms/vm-1")
    assert await used(api) == {"admin": 6, "small": 0}


async def test_plain_volumes_count_when_made_and_when_grown(api: Api) -> None:
    path = "/api/storage/other/volumes"
    await api.post(path, {"name": "a", "size_gb": 3}, 201)
    for refused in (
        await api.post(path, {"name": "b", "size_gb": 2}, 409),
        await api.post(f"{path}/a/resize", {"size_gb": 5}, 409),
    ):
        assert (refused["code"], refused["quota"]) == ("quota_exceeded", "small")
    assert await used(api) == {"admin": 3, "small": 3}
    await api.post(f"{path}/a/resize", {"size_gb": 4})
    assert await used(api) == {"admin": 4, "small": 4}
    await api.delete(f"{path}/a")
    assert await used(api) == {"admin": 0, "small": 0}


async def test_a_revert_to_a_larger_disk_counts_before_anything_is_done(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 2}])
    await api.post("/api/vms/vm-1/snapshots", {"name": "small"}, 201)
    await api.post("/api/vms/vm-1/disks/disk0/resize", {"size_gb": 8})
    await api.post("/api/vms/vm-1/snapshots", {"name": "large"}, 201)
    await api.post("/api/vms/vm-1/snapshots/small/revert", {})
    await api.make("vm-2", disks=[{"size_gb": 7}])
    refused = await api.post("/api/vms/vm-1/snapshots/large/revert", {}, 409)
    assert (refused["code"], refused["limit_bytes"], refused["asked_bytes"]) == ("quota_exceeded", 10 * GIB, 6 * GIB)
    assert (await api.get("/api/vms/vm-1"))["disks"][0]["size_gb"] == 2
    assert await used(api) == {"admin": 9, "small": 0}
    await api.delete("/api/vms/vm-2")
    await api.post("/api/vms/vm-1/snapshots/large/revert", {})
    assert await used(api) == {"admin": 8, "small": 0}


async def test_a_disk_that_grows_or_moves_counts(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 4}, {"size_gb": 3}])
    grown = await api.post("/api/vms/vm-1/disks/disk0/resize", {"size_gb": 7.5}, 409)
    assert (grown["code"], grown["asked_bytes"]) == ("quota_exceeded", 7 * GIB // 2)
    await api.post("/api/vms/vm-1/disks/disk0/resize", {"size_gb": 5})
    moved = await api.post("/api/vms/vm-1/disks/disk0/move", {"storage_pool": "other"}, 409)
    assert (moved["code"], moved["quota"]) == ("quota_exceeded", "small")
    await api.post("/api/vms/vm-1/disks/disk1/move", {"storage_pool": "other"})
    assert await used(api) == {"admin": 8, "small": 3}


async def test_templates_and_their_clones_count_in_full(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 3}])
    await api.post("/api/templates", {"vm_id": "vm-1", "name": "golden", "id": "golden"}, 201)
    assert await used(api) == {"admin": 6, "small": 0}
    clone = "/api/templates/golden/clone"
    await api.post(clone, {"new_vm_id": "vm-2"}, 201)
    assert await used(api) == {"admin": 9, "small": 0}
    for kind in ("linked", "full"):
        refused = await api.post(clone, {"new_vm_id": "vm-3", "clone_type": kind}, 409)
        assert refused["code"] == "quota_exceeded"
    again = await api.post("/api/templates", {"vm_id": "vm-1", "name": "again", "id": "again"}, 409)
    assert again["code"] == "quota_exceeded"
    await api.delete("/api/vms/vm-2")
    await api.delete("/api/templates/golden")
    assert await used(api) == {"admin": 3, "small": 0}


async def test_what_a_vm_becomes_goes_on_counting(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 3}])
    await api.post("/api/templates", {"vm_id": "vm-1", "name": "golden", "id": "golden", "keep_vm": False}, 201)
    assert await used(api) == {"admin": 3, "small": 0}
    await api.delete("/api/templates/golden")
    assert await used(api) == {"admin": 0, "small": 0}


async def test_of_many_creates_at_once_only_as_many_come_through_as_fit(api: Api) -> None:
    answers = await asyncio.gather(
        *(api.call("POST", "/api/vms", {"id": f"vm-{n}", "disks": [{"size_gb": 3}]}) for n in range(1, 9))
    )
    assert sorted(answer.status for answer in answers) == [201] * 3 + [409] * 5
    assert await used(api) == {"admin": 9, "small": 0}
    assert len(await api.get("/api/storage/local/volumes")) == 3


async def test_a_user_is_bound_by_what_is_the_users_own(served: Served) -> None:
    node, api = served
    await api.post("/api/auth/users", {"name": "ann", "password": PASSWORD, "role": "operator"}, 201)
    await api.post("/api/quotas", {"user": "ann", "limit_gb": 1}, 201)
    await api.make("vm-1", disks=[{"size_gb": 9}])
    async with node.session(await node.sign_in("ann")) as session:
        ann = Api(session)
        await ann.make("vm-2", disks=[{"size_gb": 1}])
        refused = await ann.post("/api/vms/vm-2/disks/disk0/resize", {"size_gb": 2}, 409)
        assert refused["user"] == "ann"
        await ann.post("/api/quotas", {"user": "ann", "pool": "local", "limit_gb": 99}, 403)
        assert (await ann.get("/api/quotas/ann"))["used_gb"] == 1
    assert await used(api) == {"admin": 9, "ann": 1, "small": 0}


async def test_the_next_life_counts_what_is_there(tmp_path: Path) -> None:
    host = FakeHost()
    async with fake_node(tmp_path, host) as node, node.session() as session:
        api = Api(session)
        await api.post("/api/quotas", {"user": "admin", "limit_gb": 10}, 201)
        await api.make("vm-1", disks=[{"size_gb": 2}, {"size_gb": 1}])
        await api.post("/api/storage/local/volumes", {"name": "lost", "size_gb": 4}, 201)
        await node.remove_volume("local", "lost")
        assert await used(api) == {"admin": 7}
    async with fake_node(tmp_path, host) as node, node.session() as session:
        assert await used(Api(session)) == {"admin": 3}
