"""User-data holds passwords: who may not change a VM does not get to read them, wherever they could turn up."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.node import FakeNode, fake_node

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER_DATA = "#cloud-config\npassword: hunter2\n"


async def test_user_data_is_shown_to_who_may_change_the_vm_and_to_nobody_else(shared_node: FakeNode, api: Api) -> None:
    made = await api.make("seed-1", cloud_init={"user": "ada", "user_data": USER_DATA})
    assert made["cloud_init"]["user"] == "ada"
    assert (await api.get("/api/vms/seed-1"))["cloud_init"]["user_data"] == USER_DATA
    await api.patch("/api/vms/seed-1", {"memory_mb": 128})
    await api.post("/api/auth/users", {"name": "vic", "password": "quite long enough", "role": "viewer"}, 201)
    async with shared_node.session(await shared_node.sign_in("vic", "quite long enough")) as session:
        viewer = Api(session)
        shown = [await viewer.get("/api/vms/seed-1")]
        for task in await viewer.get("/api/tasks", params={"target": "vm/seed-1"}):
            shown.append(await viewer.get(f"/api/tasks/{task['id']}"))
    assert len(shown) == 3
    assert "hunter2" not in json.dumps(shown)
    assert shown[0]["cloud_init"]["user"] == "ada"


async def test_what_stands_in_place_of_user_data_is_not_taken_for_it(api: Api) -> None:
    made = await api.make("seed-2", cloud_init={"user_data": USER_DATA})
    wrong = await api.patch("/api/vms/seed-2", {"cloud_init": made["cloud_init"]}, 400)
    assert wrong["fields"][0]["field"] == "cloud_init.user_data"
    assert (await api.get("/api/vms/seed-2"))["cloud_init"]["user_data"] == USER_DATA


async def test_a_seed_that_is_no_longer_wanted_is_removed(tmp_path: Path) -> None:
    async with fake_node(tmp_path) as node, node.session() as session:
        api = Api(session)
        await api.make("seed-3", cloud_init={"user": "ada"})
        seed = tmp_path / "state" / "seeds" / "seed-3.iso"
        assert await asyncio.to_thread(seed.exists)
        await api.patch("/api/vms/seed-3", {"cloud_init": None})
        assert not await asyncio.to_thread(seed.exists)
