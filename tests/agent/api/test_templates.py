"""Templates and clones over HTTP, on the fakes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from agent.compute.service import VmService
from agent.storage.fake import FakeStorageDriver
from horcrux.ids import VmId
from tests.support.api import Api

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ann@host"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(api: Api) -> AsyncIterator[None]:
    """Tests of this module all begin with an empty node."""
    yield
    for vm in await api.get("/api/vms"):
        await api.delete(f"/api/vms/{vm['id']}", params={"force": "true"})
    while templates := await api.get("/api/templates"):
        for template in [t for t in templates if not t["linked_clones"]]:
            await api.delete(f"/api/templates/{template['id']}")


async def volumes(api: Api, pool: str = "local") -> dict[str, str | None]:
    """Base by name."""
    return {v["name"]: v["base"] for v in await api.get(f"/api/storage/{pool}/volumes")}


async def make_template(api: Api, vm_id: str = "vm-100", **order: object) -> object:
    await api.make(vm_id, disks=[{"size_gb": 1}, {"size_gb": 2}], tags=["web"])
    return await api.post("/api/templates", {"vm_id": vm_id, "name": "Ubuntu 22.04 Template", **order}, 201)


async def test_the_sequence_of_the_contract(api: Api) -> None:
    made = await make_template(api)
    assert isinstance(made, dict)
    assert made["id"] == "tmpl-100"
    clone = await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "vm-102", "clone_type": "linked"}, 201)
    assert clone["id"] == "vm-102"
    assert [disk["base"] for disk in clone["disks"]] == ["base-100-disk0", "base-100-disk1"]
    assert clone["tags"] == ["web"]


async def test_a_template_is_a_copy_and_its_vm_stays(api: Api) -> None:
    await make_template(api)
    assert await volumes(api) == {
        "base-100-disk0": None,
        "base-100-disk1": None,
        "vm-100-disk0": None,
        "vm-100-disk1": None,
    }
    vm = await api.get("/api/vms/vm-100")
    assert (vm["status"], vm["operation"]) == ("stopped", None)
    template = await api.get("/api/templates/tmpl-100")
    assert (template["state"], template["operation"], template["linked_clones"]) == ("ready", None, [])
    assert [(d["name"], d["volume"], d["size_gb"]) for d in template["disks"]] == [
        ("disk0", "base-100-disk0", 1.0),
        ("disk1", "base-100-disk1", 2.0),
    ]
    assert await api.get("/api/templates") == [template]


async def test_a_vm_becomes_the_template_and_its_volumes_the_bases(api: Api) -> None:
    await make_template(api, keep_vm=False)
    assert await volumes(api) == {"base-100-disk0": None, "base-100-disk1": None}
    await api.get("/api/vms/vm-100", 404)
    await api.make("vm-100", disks=[{"size_gb": 1}])
    assert (await api.get("/api/templates/tmpl-100"))["state"] == "ready"


async def test_a_clone_is_another_machine_with_what_was_ordered(api: Api) -> None:
    await api.make("golden", disks=[{"size_gb": 1}], nics=[{"model": "e1000"}], cpu_cores=2)
    await api.post("/api/templates", {"vm_id": "golden"}, 201)
    order = {"new_vm_id": "web", "name": "Web", "cpu_cores": 3, "memory_mb": 96, "tags": ["a"], "start": True}
    clone = await api.post("/api/templates/tmpl-golden/clone", order, 201)
    source = await api.get("/api/vms/golden")
    assert (clone["name"], clone["cpu_cores"], clone["memory_mb"], clone["tags"]) == ("Web", 3, 96, ["a"])
    assert clone["status"] == "running"
    assert clone["uuid"] != source["uuid"]
    assert [n["model"] for n in clone["nics"]] == ["e1000"]
    assert clone["nics"][0]["mac"] != source["nics"][0]["mac"]


async def test_a_template_has_nothing_of_one_machine(api: Api) -> None:
    network: dict[str, object] = {"version": 2, "ethernets": {"eth0": {"addresses": ["10.0.0.5/24"]}}}
    seed: dict[str, object] = {
        "user": "ann",
        "ssh_keys": [KEY],
        "user_data": "#cloud-config\npassword: secret",
        "network": network,
    }
    await api.make("vm-1", cloud_init=seed)
    answer = await api.call("POST", "/api/templates", {"vm_id": "vm-1"})
    assert "secret" not in answer.text
    clone = await api.post("/api/templates/tmpl-1/clone", {"new_vm_id": "vm-2"}, 201)
    assert clone["cloud_init"] == {"user": "ann", "ssh_keys": [KEY], "network": None, "user_data": None}
    bare = {"new_vm_id": "vm-3", "cloud_init": None}
    assert (await api.post("/api/templates/tmpl-1/clone", bare, 201))["cloud_init"] is None
    order = {"new_vm_id": "vm-4", "cloud_init": {"user": "bob"}}
    assert (await api.post("/api/templates/tmpl-1/clone", order, 201))["cloud_init"]["user"] == "bob"


async def test_a_template_with_linked_clones_is_not_deleted_and_names_them(api: Api) -> None:
    await make_template(api)
    for vm_id in ("vm-102", "vm-101"):
        await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": vm_id}, 201)
    await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "whole", "clone_type": "full"}, 201)
    refused = await api.delete("/api/templates/tmpl-100", 409)
    assert (refused["code"], refused["used_by"]) == ("in_use", ["vm-101", "vm-102"])
    assert "vm-101 (linked clone)" in refused["error"]
    assert (await api.get("/api/templates/tmpl-100"))["linked_clones"] == ["vm-101", "vm-102"]
    for vm_id in ("vm-102", "vm-101"):
        await api.delete(f"/api/vms/{vm_id}")
    await api.delete("/api/templates/tmpl-100")
    await api.get("/api/templates/tmpl-100", 404)
    assert await volumes(api) == {"vm-100-disk0": None, "vm-100-disk1": None, "whole-disk0": None, "whole-disk1": None}


async def test_a_clone_turned_into_a_template_keeps_its_base_from_deletion(api: Api) -> None:
    await make_template(api)
    await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "vm-102"}, 201)
    await api.post("/api/templates", {"vm_id": "vm-102", "keep_vm": False}, 201)
    assert (await api.delete("/api/templates/tmpl-100", 409))["used_by"] == ["tmpl-102"]
    assert (await api.get("/api/templates/tmpl-100"))["linked_clones"] == ["tmpl-102"]
    grandchild = await api.post("/api/templates/tmpl-102/clone", {"new_vm_id": "vm-103"}, 201)
    assert [disk["base"] for disk in grandchild["disks"]] == ["base-102-disk0", "base-102-disk1"]


async def test_a_volume_of_a_template_is_left_alone(api: Api) -> None:
    await make_template(api)
    path = "/api/storage/local/volumes/base-100-disk0"
    for refused in (await api.delete(path, 409), await api.post(f"{path}/resize", {"size_gb": 9}, 409)):
        assert (refused["code"], refused["used_by"]) == (
            "in_use",
            {"vm_id": None, "disk": "disk0", "template": "tmpl-100"},
        )
        assert "template tmpl-100" in refused["error"]


async def test_a_full_clone_goes_to_any_pool(api: Api, tmp_path: Path) -> None:
    await make_template(api)
    await api.post("/api/storage", {"id": "other", "target": str(tmp_path / "other")}, 201)
    order = {"new_vm_id": "vm-5", "clone_type": "full", "storage_pool": "other"}
    clone = await api.post("/api/templates/tmpl-100/clone", order, 201)
    assert [(d["storage_pool"], d["base"]) for d in clone["disks"]] == [("other", None), ("other", None)]
    assert await volumes(api, "other") == {"vm-5-disk0": None, "vm-5-disk1": None}
    linked = {"new_vm_id": "vm-6", "storage_pool": "other"}
    assert "ask for a full one" in (await api.post("/api/templates/tmpl-100/clone", linked, 400))["error"]
    nowhere = {**order, "new_vm_id": "vm-7", "storage_pool": "nowhere"}
    assert "there is no pool 'nowhere'" in (await api.post("/api/templates/tmpl-100/clone", nowhere, 400))["error"]


async def test_a_pool_without_linked_clones_offers_a_full_one(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStorageDriver, "clones", lambda _self, _pool: None)
    await make_template(api)
    refused = await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "vm-5"}, 503)
    assert (refused["code"], "make a full one" in refused["error"]) == ("host_lacks", True)
    await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "vm-5", "clone_type": "full"}, 201)
    await make_template(api, "vm-200", keep_vm=False)
    assert set(await volumes(api)) >= {"vm-200-disk0", "base-100-disk0"}
    await api.delete("/api/templates/tmpl-200")
    assert "vm-200-disk0" not in await volumes(api)


async def test_a_vm_that_runs_is_neither_template_nor_copied(api: Api) -> None:
    await api.make("vm-1", start=True)
    assert "stop it first" in (await api.post("/api/templates", {"vm_id": "vm-1"}, 409))["error"]
    assert "stop it first" in (await api.post("/api/vms/vm-1/clone", {"new_vm_id": "vm-2"}, 409))["error"]
    assert (await api.get("/api/vms/vm-1"))["allowed_actions"]["clone"]["reason"] == "it is running; stop it first"


async def test_a_stopped_vm_is_copied_without_a_template(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 1}])
    clone = await api.post("/api/vms/vm-1/clone", {"new_vm_id": "vm-2", "name": "copy", "start": True}, 201)
    assert (clone["name"], clone["status"], clone["disks"][0]["base"]) == ("copy", "running", None)
    assert await volumes(api) == {"vm-1-disk0": None, "vm-2-disk0": None}
    assert (await api.get("/api/vms/vm-1"))["status"] == "stopped"


async def test_a_vm_that_changes_while_its_copy_is_planned_is_not_copied_as_it_was(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.make("vm-1", disks=[{"size_gb": 1}], memory_mb=64)
    named = VmService.volume_names

    async def changed(service: VmService, vm_id: VmId, pools: Sequence[str | None]) -> list[str]:
        """What every plan asks, and here somebody is faster than the plan."""
        await api.patch("/api/vms/vm-1", {"memory_mb": 128})
        return await named(service, vm_id, pools)

    monkeypatch.setattr(VmService, "volume_names", changed)
    refused = await api.post("/api/vms/vm-1/clone", {"new_vm_id": "vm-2"}, 409)
    assert "changed meanwhile" in refused["error"]
    assert await volumes(api) == {"vm-1-disk0": None}
    monkeypatch.undo()
    clone = await api.post("/api/vms/vm-1/clone", {"new_vm_id": "vm-2"}, 201)
    assert clone["memory_mb"] == 128


async def test_what_is_wrong_with_an_order_is_said(api: Api) -> None:
    await make_template(api)
    clone = "/api/templates/tmpl-100/clone"
    assert (await api.post("/api/templates", {"vm_id": "vm-100"}, 409))["code"] == "already_exists"
    await api.post("/api/templates", {"vm_id": "vm-9"}, 404)
    await api.post("/api/templates", {"vm_id": "vm-100", "id": "../x"}, 400)
    await api.post("/api/templates/none/clone", {"new_vm_id": "vm-9"}, 404)
    await api.post(clone, {"new_vm_id": "vm-100"}, 409)
    await api.post(clone, {"new_vm_id": "a/b"}, 400)
    wrong = await api.post(clone, {"new_vm_id": "vm-9", "cpu_cores": 0, "memory_mb": 1, "name": ""}, 400)
    assert [f["field"] for f in wrong["fields"]] == ["cpu_cores", "memory_mb", "name"]
    await api.post(clone, {"new_vm_id": "vm-9", "clone_type": "sparse"}, 400)


async def test_its_revision_is_the_etag_and_deletion_heeds_it(api: Api) -> None:
    await make_template(api)
    shown = await api.call("GET", "/api/templates/tmpl-100")
    assert shown.headers["ETag"] == f'"{shown.json["revision"]}"'
    stale = await api.delete("/api/templates/tmpl-100", 412, headers={"If-Match": '"1"'})
    assert stale["current"]["id"] == "tmpl-100"
    await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "vm-5", "clone_type": "full"}, 201)
    await api.delete("/api/templates/tmpl-100", headers={"If-Match": shown.headers["ETag"]})


async def test_clones_of_one_template_are_made_side_by_side(api: Api) -> None:
    await make_template(api)
    orders = [{"new_vm_id": f"c-{i}", "clone_type": "full" if i % 2 else "linked"} for i in range(12)]
    tasks = [await api.begin("POST", "/api/templates/tmpl-100/clone", order) for order in orders]
    assert {(await api.ended(task))["state"] for task in tasks} == {"completed"}
    assert len(await api.get("/api/vms")) == 13


async def test_a_template_is_deleted_or_cloned_but_no_clone_loses_its_base(api: Api) -> None:
    for round_ in range(6):
        await make_template(api, f"vm-{round_}")
        path = f"/api/templates/tmpl-{round_}"

        async def later(call: str, body: object, delay: int, path: str = path) -> int:
            for _ in range(delay):
                await asyncio.sleep(0)
            method, _, rest = call.partition(" ")
            return (await api.call(method, path + rest, body)).status

        kinds = ("linked", "full")
        clones = [{"new_vm_id": f"r{round_}-{i}", "clone_type": kinds[i % 2]} for i in range(8)]
        calls = [later("POST /clone", clone, i * 3) for i, clone in enumerate(clones)]
        deleted, *made = await asyncio.gather(later("DELETE ", None, round_ * 20), *calls)
        assert set(made) <= {201, 404, 409}
        there = await volumes(api)
        for vm in await api.get("/api/vms"):
            disks = (await api.get(f"/api/vms/{vm['id']}"))["disks"]
            assert all(disk["volume"] in there for disk in disks)
            assert all(disk["base"] is None or disk["base"] in there for disk in disks)
        is_there = (await api.call("GET", path)).status == 200
        assert is_there == (deleted == 409)
        assert is_there == (f"base-{round_}-disk0" in there)
        if is_there:
            assert (await api.get(path))["state"] == "ready"
        assert len([vm for vm in await api.get("/api/vms") if vm["id"].startswith(f"r{round_}-")]) == made.count(201)


async def test_what_changes_is_told(api: Api) -> None:
    async with api.events() as events:
        await make_template(api)
        await events.until("template", "tmpl-100", state="ready", operation=None)
        await api.post("/api/templates/tmpl-100/clone", {"new_vm_id": "vm-102"}, 201)
        await events.until("template", "tmpl-100", linked_clones=["vm-102"])
        await api.delete("/api/vms/vm-102")
        await events.until("template", "tmpl-100", linked_clones=[])
        await api.delete("/api/templates/tmpl-100")
        await events.until("template", "tmpl-100")


async def test_a_quota_counts_templates_and_clones(api: Api) -> None:
    await api.make("vm-1", disks=[{"size_gb": 1}])
    await api.post("/api/quotas", {"id": "small", "pool": "local", "limit_gb": 2.5}, 201)
    try:
        await api.post("/api/templates", {"vm_id": "vm-1"}, 201)
        for refused in (
            await api.post("/api/templates/tmpl-1/clone", {"new_vm_id": "vm-2"}, 409),
            await api.post("/api/templates", {"vm_id": "vm-1", "id": "other"}, 409),
        ):
            assert refused["code"] == "quota_exceeded"
        assert await volumes(api) == {"vm-1-disk0": None, "base-1-disk0": None}
        await api.post("/api/templates", {"vm_id": "vm-1", "id": "turned", "keep_vm": False}, 201)
        assert (await api.get("/api/quotas/small"))["used_gb"] == 2.0
    finally:
        await api.delete("/api/quotas/small")
