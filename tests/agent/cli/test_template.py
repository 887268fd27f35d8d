"""Templates and clones on the command line."""

from tests.support.stub_agent import StubAgent

TEMPLATE = {
    "id": "tmpl-100",
    "name": "Debian 12",
    "state": "ready",
    "source_vm": "vm-100",
    "node": "n1",
    "created_at": 1767225600,
    "disks": [{"name": "disk0", "storage_pool": "local", "volume": "base-100-disk0", "size_gb": 10.0, "format": "raw"}],
    "linked_clones": ["vm-102", "vm-103"],
}


async def test_templates_are_listed_with_what_stands_on_them(agent: StubAgent) -> None:
    agent.answer("GET /api/templates", [TEMPLATE])
    run = await agent.horcrux("template", "list")
    heading, row = run.out.splitlines()
    assert "LINKED CLONES" in heading
    assert all(words in row for words in ("tmpl-100", "Debian 12", "ready", "10 GiB", "vm-102,vm-103"))


async def test_a_template_is_made_by_copy_unless_the_vm_is_to_be_turned(agent: StubAgent) -> None:
    agent.answer("POST /api/templates", TEMPLATE, 201)
    assert (await agent.horcrux("template", "create", "vm-100", "--name", "Debian 12")).code == 0
    assert agent.find("POST /api/templates").json == {"vm_id": "vm-100", "name": "Debian 12"}
    agent.asked.clear()
    assert (await agent.horcrux("template", "create", "vm-100", "golden", "--turn", "--queue", "5")).code == 0
    asked = agent.find("POST /api/templates")
    assert (asked.json, asked.query) == ({"vm_id": "vm-100", "id": "golden", "keep_vm": False}, {"wait_s": "5"})


async def test_a_clone_is_linked_unless_a_full_one_is_asked_for(agent: StubAgent) -> None:
    path = "POST /api/templates/tmpl-100/clone"
    agent.answer(path, {"id": "vm-102"}, 201)
    assert (await agent.horcrux("template", "clone", "tmpl-100", "vm-102", "--start")).code == 0
    assert agent.find(path).json == {"new_vm_id": "vm-102", "clone_type": "linked", "start": True}
    agent.asked.clear()
    words = ("--type", "full", "--pool", "fast", "--memory", "2G", "--cores", "2", "--tag", "a", "--cloud-user", "ann")
    assert (await agent.horcrux("template", "clone", "tmpl-100", "vm-102", *words)).code == 0
    assert agent.find(path).json == {
        "new_vm_id": "vm-102",
        "clone_type": "full",
        "storage_pool": "fast",
        "memory_mb": 2048,
        "cpu_cores": 2,
        "tags": ["a"],
        "cloud_init": {"user": "ann"},
    }


async def test_a_pool_for_a_linked_clone_is_a_usage_error_with_the_way_out(agent: StubAgent) -> None:
    run = await agent.horcrux("template", "clone", "tmpl-100", "vm-102", "--pool", "fast")
    assert (run.code, agent.asked, "--type full" in run.err) == (2, [], True)


async def test_a_refused_deletion_names_the_clones(agent: StubAgent) -> None:
    refusal = {"error": "template tmpl-100 is in use by vm-102 (linked clone)", "code": "in_use", "used_by": ["vm-102"]}
    agent.answer("DELETE /api/templates/tmpl-100", refusal, 409)
    run = await agent.horcrux("template", "delete", "tmpl-100", "-y")
    assert (run.code, "vm-102 (linked clone)" in run.err) == (5, True)


async def test_a_vm_is_copied_also_by_its_name(agent: StubAgent) -> None:
    agent.answer("POST /api/vms/web/clone", {"error": "VM web does not exist", "code": "not_found"}, 404)
    agent.answer("GET /api/vms", [{"id": "vm-7", "name": "web"}])
    agent.answer("POST /api/vms/vm-7/clone", {"id": "vm-8"}, 201)
    run = await agent.horcrux("vm", "clone", "web", "vm-8", "--name", "Copy", "--pool", "fast", "--start")
    assert run.code == 0, run.err
    wanted = {"new_vm_id": "vm-8", "name": "Copy", "storage_pool": "fast", "start": True}
    assert agent.find("POST /api/vms/vm-7/clone").json == wanted


async def test_a_volume_of_a_template_is_shown_as_such(agent: StubAgent) -> None:
    row = {"name": "base-100-disk0", "format": "qcow2", "capacity_bytes": 1 << 30, "allocation_bytes": 196608}
    used = {"vm_id": None, "disk": "disk0", "template": "tmpl-100"}
    agent.answer("GET /api/storage/local/volumes", [{**row, "used_by": used}])
    assert "tmpl-100 (disk0)" in (await agent.horcrux("volume", "list")).out
