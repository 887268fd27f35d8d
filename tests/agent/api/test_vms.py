"""Making, showing, listing, changing and deleting VMs, on a whole node."""

import asyncio

import pytest

from tests.support.api import Api
from tests.support.node import FakeNode

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENTED = {"id", "name", "status", "cpu_cores", "memory_mb", "architecture"}


async def test_the_documented_create_and_list_answer_as_documented(api: Api) -> None:
    disks = [{"size_gb": 100, "storage_pool": "local"}]
    order = {
        "id": "vm-101",
        "name": "database",
        "cpu_cores": 8,
        "memory_mb": 16384,
        "disks": disks,
        "architecture": "x86_64",
    }
    made = await api.call("POST", "/api/vms", order)
    assert made.status == 201
    assert made.headers["ETag"] == f'"{made.json["revision"]}"'
    assert made.json["disks"][0]["volume"] == "vm-101-disk0"
    rows = await api.get("/api/vms")
    row = next(row for row in rows if row["id"] == "vm-101")
    assert {name: row[name] for name in DOCUMENTED} == {
        "id": "vm-101",
        "name": "database",
        "status": "stopped",
        "cpu_cores": 8,
        "memory_mb": 16384,
        "architecture": "x86_64",
    }
    assert type(row["memory_mb"]) is int
    assert (row["node"], row["operation"]) == ("testnode", None)


async def test_the_documented_power_calls_answer_200_and_delete_204_without_a_body(api: Api) -> None:
    await api.make("doc")
    assert (await api.call("POST", "/api/vms/doc/start")).status == 200
    assert (await api.call("POST", "/api/vms/doc/stop")).status == 200
    gone = await api.call("DELETE", "/api/vms/doc")
    assert (gone.status, gone.text) == (204, "")
    assert (
        await api.get("/api/vms/doc", 404)
        == {
            "error": "VM doc does not exist",
            "code": "not_found",
            "kind": "vm",
            "id": "doc",
            "request_id": (await api.get("/api/vms/doc", 404, headers={"X-Request-Id": "r"}))["request_id"],
        }
        or (await api.get("/api/vms/doc", 404))["code"] == "not_found"
    )


async def test_an_empty_order_makes_a_small_vm_with_the_next_free_id(api: Api) -> None:
    first, second = await api.post("/api/vms", {}, 201), await api.post("/api/vms", {}, 201)
    assert first["id"] == "vm-100"
    assert second["id"] == "vm-102", "vm-101 is taken"
    assert (first["name"], first["cpu_cores"], first["memory_mb"]) == ("vm-100", 1, 1024)
    assert (first["firmware"], first["autostart"], first["disks"]) == ("bios", False, [])
    assert [nic["model"] for nic in first["nics"]] == ["virtio"]
    assert first["nics"][0]["mac"] != second["nics"][0]["mac"]


async def test_vms_that_are_ordered_side_by_side_without_ids_all_come_to_be(api: Api) -> None:
    made = await asyncio.gather(*(api.post("/api/vms", {"tags": ["swarm"]}, 201) for _ in range(12)))
    assert len({vm["id"] for vm in made}) == 12
    assert len(await api.get("/api/vms", params={"tag": "swarm"})) == 12


async def test_disks_from_images_and_empty_ones_have_the_sizes_that_were_asked_for(api: Api) -> None:
    image = b"no partition table" + bytes(10 * 1024 * 1024 - 18)
    async with api.session.put("/api/storage/local/images/base.raw", data=image) as answer:
        assert answer.status == 201, await answer.text()
    disks = [
        {"image": "base.raw"},
        {"image": "base.raw", "size_gb": 2, "bus": "scsi", "cache": "writeback"},
        {"size_gb": 0.5, "bus": "sata"},
    ]
    vm = await api.make("many", disks=disks)
    assert [d["name"] for d in vm["disks"]] == ["disk0", "disk1", "disk2"]
    assert [d["size_gb"] for d in vm["disks"]] == [0.01, 2, 0.5]
    assert [(d["bus"], d["cache"]) for d in vm["disks"]] == [
        ("virtio", "none"),
        ("scsi", "writeback"),
        ("sata", "none"),
    ]
    volumes = {v["name"]: v for v in await api.get("/api/storage/local/volumes")}
    assert [volumes[f"many-disk{n}"]["size_gb"] for n in range(3)] == [0.01, 2, 0.5]
    await api.delete("/api/vms/many")
    assert not {v["name"] for v in await api.get("/api/storage/local/volumes")} & {f"many-disk{n}" for n in range(3)}


async def test_a_volume_that_has_the_name_of_a_disk_is_left_alone(api: Api) -> None:
    await api.post("/api/storage/local/volumes", {"name": "old-disk0", "size_gb": 1}, 201)
    vm = await api.make("old", disks=[{"size_gb": 1}])
    assert vm["disks"][0]["volume"] == "old-disk0-2"
    await api.delete("/api/vms/old")
    assert "old-disk0" in {v["name"] for v in await api.get("/api/storage/local/volumes")}


async def test_a_taken_id_is_409_and_harms_nothing(api: Api) -> None:
    before = await api.make("twice", disks=[{"size_gb": 1}])
    refused = await api.post("/api/vms", {"id": "twice"}, 409)
    assert (refused["code"], refused["id"]) == ("already_exists", "twice")
    assert await api.get("/api/vms/twice") == before


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"id": "-x"}, "id"),
        ({"id": "a/../b"}, "id"),
        ({"id": 7}, "id"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"cpu_cores": 0}, "cpu_cores"),
        ({"cpu_cores": "4"}, "cpu_cores"),
        ({"cpu_cores": 100000}, "cpu_cores"),
        ({"memory_mb": -1}, "memory_mb"),
        ({"memory_mb": 1.5}, "memory_mb"),
        ({"architecture": "z80"}, "architecture"),
        ({"firmware": "coreboot"}, "firmware"),
        ({"machine": "q35;rm"}, "machine"),
        ({"cpu_model": " "}, "cpu_model"),
        ({"tags": ["ok", "not ok"]}, "tags[1]"),
        ({"node": "elsewhere"}, "node"),
        ({"cdrom": "none.iso"}, "cdrom"),
        ({"disks": [{"size_gb": 1}, {"size_gb": 0}]}, "disks[1].size_gb"),
        ({"disks": [{"size_gb": -5}]}, "disks[0].size_gb"),
        ({"disks": [{}]}, "disks[0].size_gb"),
        ({"disks": [{"size_gb": 1, "storage_pool": "none"}]}, "disks[0].storage_pool"),
        ({"disks": [{"image": "none"}]}, "disks[0].image"),
        ({"disks": [{"size_gb": 1, "bus": "ide"}]}, "disks[0].bus"),
        ({"disks": [{"size_gb": 1, "sise": 2}]}, "disks[0].sise"),
        ({"disks": {}}, "disks"),
        ({"disks": [{"size_gb": 1}] * 17}, "disks"),
        ({"nics": [{"mac": "zz"}]}, "nics[0].mac"),
        ({"nics": [{"mac": "01:00:5e:00:00:01"}]}, "nics[0].mac"),
        ({"nics": [{"bridge": "no-such-br"}]}, "nics[0].bridge"),
        ({"nics": [{"vnet": "none"}]}, "nics[0].vnet"),
        ({"nics": [{"model": "ne2k"}]}, "nics[0].model"),
        ({"cloud_init": {"ssh_keys": ["not a key"]}}, "cloud_init.ssh_keys[0]"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
)
async def test_a_wrong_field_is_400_and_named_and_nothing_is_made(
    api: Api, order: dict[str, object], field: str
) -> None:
    before = await api.get("/api/vms")
    refused = await api.post("/api/vms", order, 400)
    assert [problem["field"] for problem in refused["fields"]] == [field]
    assert field in refused["error"]
    assert await api.get("/api/vms") == before


async def test_every_wrong_field_is_named_at_once(api: Api) -> None:
    refused = await api.post("/api/vms", {"cpu_cores": 0, "memory_mb": 0, "disks": [{"size_gb": -1}]}, 400)
    assert [p["field"] for p in refused["fields"]] == ["cpu_cores", "memory_mb", "disks[0].size_gb"]


async def test_an_image_that_is_no_iso_is_not_put_into_the_drive(api: Api) -> None:
    async with api.session.put("/api/storage/local/images/disk.raw", data=b"raw" + bytes(1024 * 1024 - 3)) as answer:
        assert answer.status == 201, await answer.text()
    refused = await api.post("/api/vms", {"cdrom": "disk.raw"}, 400)
    assert refused["fields"][0]["field"] == "cdrom"
    assert "not an ISO" in refused["error"]


async def test_a_change_of_what_needs_no_restart_is_there_at_once(api: Api) -> None:
    await api.make("calm", start=True)
    changed = await api.patch("/api/vms/calm", {"name": "calmer", "tags": ["a"], "notes": "hello", "autostart": True})
    assert changed["pending"] == []
    assert (changed["name"], changed["tags"], changed["notes"]) == ("calmer", ["a"], "hello")
    assert changed["status"] == "running"
    assert await api.get("/api/vms/calm") == changed


async def test_what_a_running_guest_cannot_take_is_pending_until_it_is_started_anew(api: Api) -> None:
    await api.make("later", start=True)
    changed = await api.patch("/api/vms/later", {"cpu_cores": 2, "memory_mb": 128})
    assert changed["cpu_cores"] == 2, "what is wanted"
    assert changed["pending"] == [
        {"field": "cpu_cores", "running": 1, "wanted": 2},
        {"field": "memory_mb", "running": 64, "wanted": 128},
    ]
    await api.post("/api/vms/later/reset")
    assert len((await api.get("/api/vms/later"))["pending"]) == 2, "a reset is no new start"
    await api.post("/api/vms/later/stop")
    assert (await api.get("/api/vms/later"))["pending"] == []
    started = await api.post("/api/vms/later/start")
    assert (started["cpu_cores"], started["pending"]) == (2, [])


async def test_a_change_that_is_wrong_is_400_and_changes_nothing(api: Api) -> None:
    before = await api.make("firm")
    for change, field in [
        ({"cpu_cores": 0}, "cpu_cores"),
        ({"name": None}, "name"),
        ({"disks": []}, "disks"),
        ({"architecture": "aarch64"}, "architecture"),
        ({"nics": [{"model": "x"}]}, "nics[0].model"),
    ]:
        refused = await api.patch("/api/vms/firm", change, 400)
        assert [p["field"] for p in refused["fields"]] == [field]
    assert await api.get("/api/vms/firm") == before


async def test_null_clears_what_may_be_cleared_and_what_is_left_out_stays(api: Api) -> None:
    await api.make("clear", cpu_model="max", machine="q35", notes="kept")
    changed = await api.patch("/api/vms/clear", {"cpu_model": None})
    assert (changed["cpu_model"], changed["machine"], changed["notes"]) == (None, "q35", "kept")


async def test_if_match_with_an_older_revision_is_412_with_the_vm_as_it_is(api: Api) -> None:
    old = (await api.make("race"))["revision"]
    now = await api.patch("/api/vms/race", {"notes": "one"}, headers={"If-Match": f'"{old}"'})
    assert now["revision"] > old
    for method, body in (("PATCH", {"notes": "two"}), ("DELETE", None)):
        stale = await api.call(method, "/api/vms/race", body, headers={"If-Match": f'"{old}"'})
        assert stale.status == 412
        assert stale.json["current"]["notes"] == "one"
        assert stale.headers["ETag"] == f'"{now["revision"]}"'
    assert (await api.get("/api/vms/race"))["notes"] == "one"
    await api.delete("/api/vms/race", headers={"If-Match": f'"{now["revision"]}"'})


async def test_without_if_match_the_last_change_wins(api: Api) -> None:
    await api.make("loose")
    await api.patch("/api/vms/loose", {"notes": "one"})
    assert (await api.patch("/api/vms/loose", {"notes": "two"}))["notes"] == "two"


async def test_of_two_changes_of_the_same_revision_that_queue_one_wins_and_the_other_is_412(
    api: Api, shared_node: FakeNode
) -> None:
    old = (await api.make("queue", start=True))["revision"]
    shared_node.hypervisor.is_obedient = False
    holder = await api.begin("POST", "/api/vms/queue/shutdown", {"timeout_s": 60})
    match = {"If-Match": f'"{old}"'}
    changes = [
        asyncio.create_task(api.call("PATCH", "/api/vms/queue?wait_s=30", {"notes": notes}, headers=match))
        for notes in ("one", "two")
    ]
    await api.until_queued("queue", 2)
    shared_node.hypervisor.is_obedient = True
    await api.expect(202, "DELETE", f"/api/tasks/{holder}")
    won, late = sorted([await change for change in changes], key=lambda answer: answer.status)
    assert (won.status, late.status) == (200, 412)
    assert late.json["current"]["notes"] == won.json["notes"]
    assert late.headers["ETag"] == won.headers["ETag"]


async def test_a_running_vm_is_deleted_only_by_force(api: Api) -> None:
    await api.make("alive", disks=[{"size_gb": 1}], start=True)
    refused = await api.delete("/api/vms/alive", 409)
    assert "stop it first" in refused["error"]
    assert (await api.get("/api/vms/alive"))["status"] == "running"
    await api.delete("/api/vms/alive", params={"force": "true"})
    await api.get("/api/vms/alive", 404)
    assert "alive-disk0" not in {v["name"] for v in await api.get("/api/storage/local/volumes")}
    await api.delete("/api/vms/alive", 404)


async def test_a_vm_that_was_started_while_its_deletion_queued_is_not_deleted(api: Api, shared_node: FakeNode) -> None:
    await api.make("saved", disks=[{"size_gb": 1}], start=True)
    shared_node.hypervisor.is_obedient = False
    holder = await api.begin("POST", "/api/vms/saved/shutdown", {"timeout_s": 60})
    deleting = asyncio.create_task(api.call("DELETE", "/api/vms/saved?wait_s=30"))
    await api.until_queued("saved")
    await api.expect(202, "DELETE", f"/api/tasks/{holder}")
    shared_node.hypervisor.is_obedient = True
    assert (await deleting).status == 409
    assert (await api.get("/api/vms/saved"))["status"] == "running"


async def test_a_volume_of_a_vm_is_neither_deleted_nor_resized_by_itself(api: Api) -> None:
    await api.make("owner", disks=[{"size_gb": 1}])
    for method, path, body in (
        ("DELETE", "/api/storage/local/volumes/owner-disk0", None),
        ("POST", "/api/storage/local/volumes/owner-disk0/resize", {"size_gb": 2}),
    ):
        refused = await api.expect(409, method, path, body)
        assert refused["code"] == "in_use"
        assert refused["used_by"] == {"vm_id": "owner", "disk": "disk0", "template": None}


async def test_lists_are_filtered_paged_and_cut_to_fields(api: Api) -> None:
    for n in range(4):
        await api.make(f"list-{n}", name=f"Web Server {n}", tags=["listed", f"n{n}"], start=n == 2)
    rows = await api.get("/api/vms", params={"tag": "listed"})
    assert [row["id"] for row in rows] == [f"list-{n}" for n in range(4)]
    page = await api.get("/api/vms", params={"tag": "listed", "limit": 2})
    assert [row["id"] for row in page] == ["list-0", "list-1"]
    page = await api.get("/api/vms", params={"tag": "listed", "limit": 2, "after": "list-1", "fields": "id,status"})
    assert page == [{"id": "list-2", "status": "running"}, {"id": "list-3", "status": "stopped"}]
    assert [r["id"] for r in await api.get("/api/vms", params={"name": "SERVER 3"})] == ["list-3"]
    assert [r["id"] for r in await api.get("/api/vms", params={"tag": "listed", "status": "running"})] == ["list-2"]
    assert await api.get("/api/vms", params={"node": "elsewhere"}) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("fields=id,no", "fields"),
        ("status=odd", "status"),
        ("colour=red", "colour"),
    ],
)
async def test_a_wrong_or_unknown_query_is_400_and_named(api: Api, query: str, field: str) -> None:
    refused = await api.get(f"/api/vms?{query}", 400)
    assert [p["field"] for p in refused["fields"]] == [field]
