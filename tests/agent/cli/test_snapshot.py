"""Snapshots of VMs on the command line."""

import time

from agent.cli.snapshot import tree_text
from tests.support.stub_agent import StubAgent

NOW = 1_800_000_000.0
BASE = "/api/vms/vm-1/snapshots"


def row(name: str, parent: str | None, age_s: int, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "description": "",
        "created_at": int(NOW) - age_s,
        "parent": parent,
        "is_current": False,
        "has_memory": False,
        "is_consistent": True,
        "was_running": False,
        "state": "ready",
        "size_bytes": None,
        **more,
    }


ROWS = [
    row("clean", None, 3 * 86400),
    row("updated", "clean", 7200, was_running=True, is_consistent=False, size_bytes=3 << 20),
    row("tried", "clean", 90, was_running=True, has_memory=True, size_bytes=1 << 30, description="with the new kernel"),
    row("now", "tried", 5, was_running=True, is_current=True),
]


def test_the_tree_shows_age_size_and_where_the_vm_stands() -> None:
    assert tree_text("vm-1", ROWS, NOW, colour=False).splitlines() == [
        "vm-1",
        "└── clean  3 d ago",
        "    ├── updated  2 h ago  3 MiB  as after a power cut",
        "    └── tried  1 min ago  1 GiB  with memory  with the new kernel",
        "        └── now  5 s ago  frozen",
        "            └── you are here",
    ]


def test_a_vm_without_snapshots_stands_at_the_root() -> None:
    assert tree_text("vm-1", [], NOW, colour=False).splitlines() == ["vm-1", "└── you are here"]


def test_what_others_wrote_cannot_command_the_terminal() -> None:
    shown = tree_text("vm-1", [row("s", None, 1, description="\x1b[31m[bold]red")], NOW, colour=False)
    assert "\x1b" not in shown
    assert "?[31m[bold]red" in shown


async def test_a_list_is_a_tree_for_people_and_rows_for_scripts(agent: StubAgent) -> None:
    agent.answer(f"GET {BASE}", [row("s", None, int(NOW - time.time()) + 60, is_current=True)])
    run = await agent.horcrux("vm", "snapshot", "list", "vm-1")
    assert (run.code, "s  " in run.out, "you are here" in run.out) == (0, True, True)
    run = await agent.horcrux("vm", "snapshot", "list", "vm-1", "-o", "json")
    assert '"is_current": true' in run.out


async def test_a_snapshot_is_taken_reverted_to_and_deleted(agent: StubAgent) -> None:
    agent.answer(f"POST {BASE}", {"name": "s"}, 201)
    agent.answer(f"POST {BASE}/s/revert", {"id": "vm-1"})
    agent.answer(f"DELETE {BASE}/s", None, 204)
    run = await agent.horcrux("vm", "snapshot", "create", "vm-1", "s", "--memory", "--description", "before")
    assert run.code == 0, run.err
    order = {"name": "s", "description": "before", "memory": True, "freeze": "auto"}
    assert agent.find(f"POST {BASE}").json == order
    assert (await agent.horcrux("vm", "snapshot", "revert", "vm-1", "s", "--no-start", "--yes")).code == 0
    assert agent.find(f"POST {BASE}/s/revert").json == {"start": False}
    assert (await agent.horcrux("vm", "snapshot", "delete", "vm-1", "s", "--yes")).code == 0
    assert agent.find(f"DELETE {BASE}/s")


async def test_nothing_is_lost_without_a_yes(agent: StubAgent) -> None:
    for words in (("revert", "vm-1", "s"), ("delete", "vm-1", "s")):
        run = await agent.horcrux("vm", "snapshot", *words)
        assert (run.code, agent.asked) == (2, [])
