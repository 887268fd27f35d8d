"""Peers and replications."""

import asyncio
from pathlib import Path

from tests.support.stub_agent import StubAgent

ROW = {
    "id": "web",
    "vm_id": "web",
    "peer": "node2",
    "target_pool": "tank",
    "state": "failed",
    "last_success_at": None,
    "next_run_at": 1_700_000_000,
    "last_bytes": 3 << 20,
    "last_error": "peer node2: pool tank is full " + "x" * 100,
}
PEM = "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"


async def test_replications_are_listed_with_state_and_error_in_a_few_words(agent: StubAgent) -> None:
    agent.answer("GET /api/replications", [ROW])
    run = await agent.horcrux("replication", "list")
    line = run.out.splitlines()[1]
    assert "node2:tank" in line
    assert "failed" in line
    assert "3 MiB" in line
    assert "pool tank is full" in line
    assert line.endswith("…")


async def test_a_replication_is_made_changed_run_and_ended(agent: StubAgent) -> None:
    agent.answer("POST /api/replications", ROW, 201)
    agent.answer("PATCH /api/replications/web", ROW)
    agent.answer("POST /api/replications/web/run", ROW)
    agent.answer("DELETE /api/replications/web", None, 204)
    made = await agent.horcrux(
        "replication", "create", "web", "--peer", "node2", "--pool", "tank", "--schedule", "0 * * * *", "--limit", "50"
    )
    assert made.code == 0, made.err
    assert agent.find("POST /api/replications").json == {
        "vm_id": "web",
        "peer": "node2",
        "target_pool": "tank",
        "schedule": "0 * * * *",
        "bandwidth_limit_mib_s": 50,
    }
    assert (await agent.horcrux("replication", "set", "web", "--limit", "0", "--disable")).code == 0
    assert agent.find("PATCH /api/replications/web").json == {"bandwidth_limit_mib_s": None, "is_enabled": False}
    assert (await agent.horcrux("replication", "set", "web")).code == 2
    assert (await agent.horcrux("replication", "run", "web")).code == 0
    assert agent.find("POST /api/replications/web/run").json == {"afresh": False}
    assert (await agent.horcrux("replication", "delete", "web", "--replica", "-y")).code == 0
    assert agent.find("DELETE /api/replications/web").query == {"delete_replica": "true", "force": "false"}


async def test_deleting_the_replica_first_needs_a_yes(agent: StubAgent) -> None:
    run = await agent.horcrux("replication", "run", "web", "--afresh")
    assert run.code == 2
    assert agent.asked == []


async def test_the_certificate_goes_to_a_file_and_from_one(agent: StubAgent, tmp_path: Path) -> None:
    ourself = {"name": "node1", "address": "https://h:8007", "fingerprint": "ff", "certificate": PEM}
    agent.answer("GET /api/peers/self", ourself)
    shown = await agent.horcrux("peer", "show")
    assert shown.out == PEM, "nothing else, so that it can be redirected"
    assert "fingerprint ff" in shown.err
    agent.answer("POST /api/peers", {"name": "node2", "fingerprint": "ee"}, 201)
    file = tmp_path / "node2.pem"
    await asyncio.to_thread(file.write_text, PEM)
    added = await agent.horcrux("peer", "add", "node2", "--address", "https://h2:8007", "--certificate", str(file))
    assert "fingerprint is ee" in added.err
    assert agent.find("POST /api/peers").json == {"name": "node2", "url": "https://h2:8007", "certificate": PEM}
    agent.answer("DELETE /api/peers/node2", None, 204)
    assert (await agent.horcrux("peer", "remove", "node2", "-y")).code == 0
