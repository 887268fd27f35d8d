"""Pools, volumes, images."""

import hashlib
from pathlib import Path

import pytest

from tests.support.stub_agent import StubAgent

POOL = {
    "id": "local",
    "name": "local",
    "storage_type": "dir",
    "available_bytes": 3 << 30,
    "total_bytes": 10 << 30,
    "node": "n1",
    "target": "/var/lib/horcrux/pools/local",
    "is_active": True,
    "reason": "",
}
CONTENT = bytes(range(256)) * 12_000 + b"end"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(CONTENT)
    return path


async def test_pools_are_listed_with_their_sizes_and_why_one_cannot_be_reached(agent: StubAgent) -> None:
    agent.answer("GET /api/storage", [POOL, {**POOL, "id": "far", "is_active": False, "reason": "folder is gone"}])
    run = await agent.horcrux("storage", "list")
    _, near, far = run.out.splitlines()
    assert near.split()[:6] == ["local", "dir", "3", "GiB", "10", "GiB"]
    assert "folder is gone" in far


async def test_an_image_is_sent_whole_with_its_checksum(agent: StubAgent, file: Path) -> None:
    agent.answer("PUT /api/storage/fast/images/mine.qcow2", {"name": "mine.qcow2"}, 201)
    run = await agent.horcrux("image", "upload", str(file), "--name", "mine.qcow2", "--pool", "fast")
    assert run.code == 0, run.err
    asked = agent.find("PUT /api/storage/fast/images/mine.qcow2")
    assert asked.body == CONTENT
    assert asked.query == {"sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert "mine.qcow2 is in pool fast" in run.err


async def test_an_upload_that_is_refused_tells_the_agents_sentence(agent: StubAgent, file: Path) -> None:
    agent.answer(
        "PUT /api/storage/local/images/disk.qcow2", {"error": "disk.qcow2 exists", "code": "already_exists"}, 409
    )
    run = await agent.horcrux("image", "upload", str(file))
    assert (run.code, "disk.qcow2 exists" in run.err) == (5, True)


async def test_a_file_that_is_not_there_is_a_usage_error(agent: StubAgent) -> None:
    run = await agent.horcrux("image", "upload", "/nonexistent/disk.qcow2")
    assert (run.code, agent.asked) == (2, [])


async def test_an_image_is_fetched_under_the_last_part_of_its_address(agent: StubAgent) -> None:
    agent.answer("POST /api/storage/local/images", {"name": "d.qcow2"}, 201)
    run = await agent.horcrux("image", "fetch", "http://mirror/d.qcow2?x=1", "--sha256", "ab")
    assert run.code == 0, run.err
    assert agent.find("POST /api/storage/local/images").json == {
        "name": "d.qcow2",
        "url": "http://mirror/d.qcow2?x=1",
        "sha256": "ab",
    }


async def test_volumes_are_made_resized_listed_and_deleted(agent: StubAgent) -> None:
    base = "/api/storage/local/volumes"
    row = {"name": "v", "format": "qcow2", "capacity_bytes": 1 << 30, "allocation_bytes": 196608}
    agent.answer(f"POST {base}", row, 201)
    agent.answer(f"POST {base}/v/resize", row)
    agent.answer(f"DELETE {base}/v", None, 204)
    agent.answer(f"GET {base}", [{**row, "base": "base-7", "used_by": {"vm_id": "vm-1", "disk": "disk0"}}])
    assert (await agent.horcrux("volume", "create", "v", "--size", "1.5")).code == 0
    assert agent.find(f"POST {base}").json == {"name": "v", "size_gb": 1.5}
    assert (await agent.horcrux("volume", "resize", "v", "--size", "2")).code == 0
    assert agent.find(f"POST {base}/v/resize").json == {"size_gb": 2}
    listed = await agent.horcrux("volume", "list")
    assert listed.out.splitlines()[1].split() == ["v", "qcow2", "1", "GiB", "192", "KiB", "base-7", "vm-1", "(disk0)"]
    assert (await agent.horcrux("volume", "delete", "v", "-y")).code == 0
    assert (await agent.horcrux("volume", "create", "v")).code == 2


async def test_a_volume_is_made_as_its_options_say(agent: StubAgent) -> None:
    agent.answer("POST /api/storage/tank/volumes", {"name": "v"}, 201)
    words = ["--size", "1", "--thick", "--block-size", "16", "--compression", "zstd", "--format", "raw"]
    assert (await agent.horcrux("volume", "create", "v", "--pool", "tank", *words)).code == 0
    assert agent.find("POST /api/storage/tank/volumes").json == {
        "name": "v",
        "size_gb": 1,
        "format": "raw",
        "options": {"is_sparse": False, "block_size_bytes": 16384, "compression": "zstd"},
    }


async def test_snapshots_of_a_volume_are_listed(agent: StubAgent) -> None:
    rows = [{"name": "before", "created_at": 1_700_000_000, "used_bytes": 1 << 20}]
    agent.answer("GET /api/storage/local/volumes/v/snapshots", rows)
    listed = await agent.horcrux("volume", "snapshots", "v")
    assert listed.out.splitlines()[1].split()[0] == "before"
    assert "1 MiB" in listed.out


async def test_a_pool_is_made_with_the_options_of_its_type(agent: StubAgent) -> None:
    agent.answer("POST /api/storage", {"id": "tank"}, 201)
    words = ["--type", "zfs", "--target", "tank/vms", "--option", "compression=zstd", "--option", "sparse=no"]
    assert (await agent.horcrux("storage", "create", "tank", *words)).code == 0
    options = {"compression": "zstd", "sparse": "no"}
    body = {"id": "tank", "storage_type": "zfs", "target": "tank/vms", "options": options}
    assert agent.find("POST /api/storage").json == body
    wrong = await agent.horcrux("storage", "create", "tank", *words[:4], "--option", "compression")
    assert wrong.code == 2
    assert "KEY=VALUE" in wrong.err


async def test_what_is_wrong_with_a_pool_stands_in_the_list(agent: StubAgent) -> None:
    row = {"storage_type": "zfs", "available_bytes": 1, "total_bytes": 2, "node": "alpha", "is_active": True}
    sick = {**row, "id": "tank", "target": "tank", "health": "degraded", "problems": ["disk vdb is gone"]}
    agent.answer("GET /api/storage", [{**row, "id": "a", "target": "a", "health": "good", "problems": []}, sick])
    out = (await agent.horcrux("storage", "list")).out
    assert "degraded: disk vdb is gone" in out
    agent.answer("GET /api/storage/found", [{**sick, "pool": None}])
    assert "degraded: disk vdb is gone" in (await agent.horcrux("storage", "found")).out


async def test_a_pool_is_made_of_a_folder_and_forgotten(agent: StubAgent) -> None:
    agent.answer("POST /api/storage", POOL, 201)
    agent.answer("DELETE /api/storage/fast", None, 204)
    assert (await agent.horcrux("storage", "create", "fast", "--target", "/srv/fast")).code == 0
    assert agent.find("POST /api/storage").json == {"id": "fast", "storage_type": "dir", "target": "/srv/fast"}
    assert (await agent.horcrux("storage", "delete", "fast", "--yes")).code == 0
