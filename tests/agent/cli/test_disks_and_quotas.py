"""`horcrux vm disk` and `horcrux quota`."""

from tests.support.stub_agent import StubAgent

DISK = {
    "name": "disk0",
    "storage_pool": "local",
    "volume": "web-disk0",
    "size_gb": 2.5,
    "format": "qcow2",
    "bus": "virtio",
}
QUOTA = {"id": "ann.fast", "pool": "fast", "user": "ann", "limit_bytes": 4 << 30, "used_bytes": 3 << 30}


async def test_a_disk_is_moved_and_grown(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/web/disks/disk0/move", {"id": "web"})
    agent.answer("POST /api/vms/web/disks/disk0/resize", {"id": "web"})
    run = await agent.horcrux("vm", "disk", "move", "web", "disk0", "--pool", "fast", "--format", "raw")
    assert (run.code, "disk0 of VM web is in pool fast" in run.err) == (0, True)
    moved = agent.find("POST /api/vms/web/disks/disk0/move")
    assert moved.json == {"storage_pool": "fast", "format": "raw"}
    run = await agent.horcrux("vm", "disk", "resize", "web", "disk0", "--size", "40")
    assert (run.code, "disk0 of VM web has 40 GiB" in run.err) == (0, True)
    assert agent.find("POST /api/vms/web/disks/disk0/resize").json == {"size_gb": 40}


async def test_disks_are_listed_with_where_they_lie(agent: StubAgent) -> None:
    agent.answer("GET /api/vms/web", {"id": "web", "disks": [DISK]})
    run = await agent.horcrux("vm", "disk", "list", "web")
    assert run.out.splitlines()[1].split()[:6] == ["disk0", "local", "web-disk0", "2.5", "GiB", "qcow2"]


async def test_quotas_are_listed_with_what_is_taken(agent: StubAgent) -> None:
    agent.answer("GET /api/quotas", [QUOTA, {**QUOTA, "id": "all", "user": None, "limit_bytes": 0}])
    run = await agent.horcrux("quota", "list")
    _, first, second = run.out.splitlines()
    assert first.split() == ["ann.fast", "fast", "ann", "3", "GiB", "4", "GiB", "75", "%"]
    assert second.split()[:3] == ["all", "fast", "all"]


async def test_a_quota_is_made_once_and_changed_after_that(agent: StubAgent) -> None:
    agent.answer("GET /api/quotas", [QUOTA])
    agent.answer("POST /api/quotas", QUOTA, 201)
    agent.answer("PATCH /api/quotas/ann.fast", QUOTA)
    assert (await agent.horcrux("quota", "set", "--user", "bob", "--limit", "9")).code == 0
    assert agent.find("POST /api/quotas").json == {"user": "bob", "limit_gb": 9}
    assert (await agent.horcrux("quota", "set", "--user", "ann", "--pool", "fast", "--limit", "9")).code == 0
    assert agent.find("PATCH /api/quotas/ann.fast").json == {"limit_gb": 9}
    assert (await agent.horcrux("quota", "set", "--limit", "9")).code == 2


async def test_a_quota_is_deleted_after_a_yes(agent: StubAgent) -> None:
    agent.answer("DELETE /api/quotas/ann.fast", None, 204)
    assert (await agent.horcrux("quota", "delete", "ann.fast")).code == 2
    assert (await agent.horcrux("quota", "delete", "ann.fast", "--yes")).code == 0
    agent.find("DELETE /api/quotas/ann.fast")


async def test_what_is_over_a_quota_is_told_in_the_agents_words(agent: StubAgent) -> None:
    answer = {"error": "quota ann allows user ann 4 GiB", "code": "quota_exceeded"}
    agent.answer("POST /api/vms/web/disks/disk0/resize", answer, 409)
    run = await agent.horcrux("vm", "disk", "resize", "web", "disk0", "--size", "40")
    assert (run.code, "quota ann allows" in run.err) == (5, True)
