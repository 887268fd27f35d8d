"""Two whole agents in one process, their API, and real TLS between them; only the volumes are the fakes'."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.replication.fake_volume import BLOCK_BYTES
from tests.support.replication import DISK, VM, Pair, at, pair


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as nodes:
        yield nodes


async def test_the_first_run_sends_everything_and_the_next_what_changed(nodes: Pair) -> None:
    await nodes.source.write(*range(200))
    made = await nodes.replicate()
    assert (made["id"], made["state"], made["last_success_at"]) == (VM, "idle", None)
    first = await nodes.run()
    assert first["last_bytes"] > 200 * BLOCK_BYTES
    assert (first["last_error"], first["is_resumable"], first["is_consistent"]) == (None, False, True)
    assert await nodes.target.digest() == await nodes.source.digest()
    await nodes.source.write(7, content=b"changed")
    second = await nodes.run()
    assert second["last_bytes"] < 2 * BLOCK_BYTES
    assert second["snapshot"] != first["snapshot"]
    assert await nodes.target.digest() == await nodes.source.digest()
    assert (await nodes.state())["state"] == "idle"


async def test_a_run_leaves_a_bookmark_here_and_one_snapshot_there(nodes: Pair) -> None:
    await nodes.replicate()
    for _ in range(3):
        await nodes.source.write(1)
        done = await nodes.run()
    assert await nodes.source.snapshots() == []
    assert await nodes.source.bookmarks() == [done["snapshot"]]
    assert await nodes.target.snapshots() == [done["snapshot"]]


async def test_a_stream_that_was_cut_goes_on_where_it_stopped(nodes: Pair) -> None:
    await nodes.source.write(*range(300))
    await nodes.replicate()
    ended = await nodes.cut_run(after=250)
    assert ended["state"] == "cancelled"
    cut = await nodes.state()
    assert (cut["state"], cut["is_resumable"]) == ("failed", True)
    assert len(await nodes.source.snapshots()) == 1
    done = await nodes.run()
    assert BLOCK_BYTES < done["last_bytes"] < 150 * BLOCK_BYTES, "far fewer than the whole"
    assert await nodes.target.digest() == await nodes.source.digest()
    assert done["is_resumable"] is False


async def test_nothing_is_held_between_runs(nodes: Pair) -> None:
    await nodes.source.write(*range(50))
    await nodes.replicate()
    await nodes.cut_run(after=10)
    (name,) = await nodes.source.snapshots()
    await nodes.source.streams.destroy(at("tank", DISK), snapshots=[name])
    done = await nodes.run()
    assert await nodes.target.digest() == await nodes.source.digest()
    assert done["state"] in {"idle", "running"}


async def test_a_replica_is_listed_as_such_read_only_and_not_deleted(nodes: Pair) -> None:
    await nodes.source.write(1)
    await nodes.replicate()
    await nodes.run()
    (volume,) = await nodes.target.api.get("/api/storage/tank/volumes")
    assert volume["replica_of"] == f"testnode/{VM}"
    refused = await nodes.target.api.delete(f"/api/storage/tank/volumes/{DISK}", status=409)
    assert refused["code"] == "in_use"
    assert "peer source" in refused["error"]
    await nodes.target.api.post(f"/api/storage/tank/volumes/{DISK}/resize", {"size_gb": 9}, status=409)
    assert (await nodes.target.streams.marks(at("tank", DISK)))["horcrux:replica-of"] == f"testnode/{VM}"


@pytest.mark.parametrize("is_rolled_back", [False, True])
async def test_a_replica_that_was_changed_there_is_an_error_and_stays_as_it_is(
    nodes: Pair, is_rolled_back: bool
) -> None:
    await nodes.source.write(1)
    await nodes.replicate()
    await nodes.run()
    volume, streams = at("tank", DISK), nodes.target.streams
    if is_rolled_back:
        await nodes.source.streams.snapshot([volume], "by-hand")
        first = await nodes.run()
        await streams.rollback(volume, "by-hand")
        await nodes.source.write(2)
        named = "by-hand"
    else:
        first = await nodes.run()
        await streams.make_writable(volume)
        await streams.write(volume, 5, b"theirs")
        named = first["snapshot"]
    before = await nodes.target.digest()
    refused = await nodes.run(status=409)
    assert refused["code"] == "diverged"
    assert named in refused["error"]
    assert f"tank/{DISK}" in refused["error"]
    assert await nodes.target.digest() == before
    failed = await nodes.state()
    assert failed["state"] == "failed"
    assert named in failed["last_error"]
    await nodes.run(afresh=True)
    assert await nodes.target.digest() == await nodes.source.digest()


async def test_a_source_that_went_back_takes_its_replica_with_it(nodes: Pair) -> None:
    await nodes.source.write(1)
    await nodes.replicate()
    volume, streams = at("tank", DISK), nodes.source.streams
    await streams.snapshot([volume], "before")
    await nodes.run()
    await nodes.source.write(2)
    await nodes.run()
    marks = await nodes.source.bookmarks()
    await streams.destroy(volume, bookmarks=marks)
    await streams.rollback(volume, "before")
    await nodes.run()
    assert await nodes.target.digest() == await nodes.source.digest()
    assert (await nodes.target.snapshots())[0] == "before"


async def test_snapshots_of_users_are_replicated_and_go_when_they_go(nodes: Pair) -> None:
    volume = at("tank", DISK)
    await nodes.source.write(1)
    await nodes.source.streams.snapshot([volume], "monday")
    await nodes.replicate()
    await nodes.run()
    await nodes.source.write(2)
    await nodes.source.streams.snapshot([volume], "tuesday")
    done = await nodes.run()
    assert await nodes.target.snapshots() == ["monday", "tuesday", done["snapshot"]]
    await nodes.source.streams.destroy(volume, snapshots=["monday"])
    done = await nodes.run()
    assert await nodes.target.snapshots() == ["tuesday", done["snapshot"]]


async def test_a_full_pool_there_is_told_here(nodes: Pair) -> None:
    await nodes.source.write(*range(500))
    nodes.target.streams.room_bytes = 20 * BLOCK_BYTES
    await nodes.replicate()
    refused = await nodes.run(status=507)
    assert "pool tank is full" in refused["error"]
    nodes.target.streams.room_bytes = None
    await nodes.run()
    assert await nodes.target.digest() == await nodes.source.digest()


async def test_a_volume_of_somebody_else_there_is_never_overwritten(nodes: Pair) -> None:
    await nodes.target.api.post("/api/storage/tank/volumes", {"name": DISK, "size_gb": 1}, 201)
    await nodes.target.write(3, content=b"theirs")
    before = await nodes.target.digest()
    await nodes.replicate()
    refused = await nodes.run(status=409)
    assert "no replica" in refused["error"]
    assert await nodes.target.digest() == before


async def test_a_vm_with_a_disk_elsewhere_is_refused_and_the_disk_named(tmp_path: Path) -> None:
    async with pair(tmp_path, disks=("tank", "local")) as nodes:
        order = {"vm_id": VM, "peer": "target", "target_pool": "tank"}
        refused = await nodes.source.api.post("/api/replications", order, 409)
        assert "disk1" in refused["error"]
        assert "local" in refused["error"]


async def test_all_disks_arrive_and_are_of_one_time(tmp_path: Path) -> None:
    async with pair(tmp_path, disks=("tank", "tank")) as nodes:
        for volume in (DISK, "web-disk1"):
            await nodes.source.write(1, 2, volume=volume, content=volume.encode())
        await nodes.replicate()
        done = await nodes.run()
        for volume in (DISK, "web-disk1"):
            assert await nodes.target.digest(volume) == await nodes.source.digest(volume)
            assert await nodes.target.snapshots(volume) == [done["snapshot"]]


async def test_the_end_of_a_replication_leaves_nothing_here_and_lets_go_there(nodes: Pair) -> None:
    await nodes.source.write(1)
    await nodes.replicate()
    await nodes.run()
    await nodes.source.api.delete(f"/api/replications/{VM}")
    assert await nodes.source.api.get("/api/replications") == []
    assert (await nodes.source.bookmarks(), await nodes.source.snapshots()) == ([], [])
    (volume,) = await nodes.target.api.get("/api/storage/tank/volumes")
    assert volume["replica_of"] == f"testnode/{VM}"
    await nodes.target.api.delete(f"/api/storage/tank/volumes/{DISK}")
    assert await nodes.target.api.get("/api/storage/tank/volumes") == []


async def test_the_end_of_a_replication_may_take_the_replica_along(nodes: Pair) -> None:
    await nodes.source.write(*range(50))
    await nodes.replicate()
    await nodes.cut_run(after=10)
    await nodes.source.api.delete(f"/api/replications/{VM}", params={"delete_replica": "true"})
    assert await nodes.target.api.get("/api/storage/tank/volumes") == []
    assert await nodes.source.snapshots() == []


async def test_a_replication_can_end_though_its_peer_is_gone(nodes: Pair) -> None:
    await nodes.replicate()
    await nodes.run()
    await nodes.target.api.delete("/api/peers/source")
    refused = await nodes.source.api.delete(f"/api/replications/{VM}", status=502)
    assert "force" in refused["error"]
    await nodes.source.api.delete(f"/api/replications/{VM}", params={"force": "true"})
    assert await nodes.source.bookmarks() == []
    await nodes.target.api.delete(f"/api/storage/tank/volumes/{DISK}")


async def test_two_runs_never_overlap_and_volumes_are_not_deleted_meanwhile(nodes: Pair) -> None:
    await nodes.source.write(*range(50))
    await nodes.replicate()
    task = await nodes.halted_run(after=10)
    assert (await nodes.state())["state"] == "running"
    busy = await nodes.run(status=409)
    assert (busy["code"], busy["task"]) == ("busy", task)
    busy = await nodes.source.api.delete(f"/api/vms/{VM}", status=409)
    assert busy["task"] == task
    await nodes.cancel(task)
    await nodes.source.api.ended(task)
    await nodes.source.api.delete(f"/api/vms/{VM}")
    assert "does not exist" in (await nodes.run(status=404))["error"]


async def test_a_peer_that_is_needed_cannot_be_removed(nodes: Pair) -> None:
    await nodes.replicate()
    refused = await nodes.source.api.delete("/api/peers/target", status=409)
    assert f"replication {VM}" in refused["error"]


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({"vm_id": "none"}, "vm_id"),
        ({"peer": "none"}, "peer"),
        ({"schedule": "every day"}, "schedule"),
        ({"schedule": "0 0 31 2 *"}, "schedule"),
        ({"bandwidth_limit_mib_s": 0}, "bandwidth_limit_mib_s"),
        ({"target_pool": "../x"}, "target_pool"),
        ({"id": "a/b"}, "id"),
    ],
)
async def test_what_is_wrong_with_an_order_is_named(nodes: Pair, order: dict[str, object], field: str) -> None:
    body = {"vm_id": VM, "peer": "target", "target_pool": "tank", **order}
    refused = await nodes.source.api.post("/api/replications", body, 400)
    assert [each["field"] for each in refused["fields"]] == [field]
    assert await nodes.source.api.get("/api/replications") == []


async def test_a_change_takes_effect_and_an_old_revision_is_refused(nodes: Pair) -> None:
    made = await nodes.replicate()
    path = f"/api/replications/{VM}"
    changed = await nodes.source.api.patch(path, {"is_enabled": False, "schedule": "0 4 * * *"})
    assert (changed["state"], changed["next_run_at"], changed["schedule"]) == ("disabled", None, "0 4 * * *")
    stale = {"If-Match": f'"{made["revision"]}"'}
    await nodes.source.api.patch(path, {"is_enabled": True}, 412, headers=stale)
    await nodes.source.api.post("/api/replications", {"vm_id": VM, "peer": "target", "target_pool": "tank"}, 409)
