"""Orders that only libvirt can tell to be wrong, sent to a real agent."""

import pytest

from tests.support.agent_process import agent_process

pytestmark = pytest.mark.libvirt


async def test_what_libvirt_does_not_know_is_a_400_that_names_the_field_and_leaves_nothing() -> None:
    async with agent_process() as agent, agent.session() as api:
        for order, field in (({"machine": "nosuch-1.0"}, "machine"), ({"cpu_model": "NoSuchCPU"}, "cpu_model")):
            async with api.post("/api/vms", json={"id": "odd", **order}) as answer:
                body = await answer.json()
                assert answer.status == 400, body
                assert [f["field"] for f in body["fields"]] == [field]
        async with api.get("/api/vms") as answer:
            assert await answer.json() == []
