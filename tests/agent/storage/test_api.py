"""The storage calls over real HTTP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from agent.api.storage import routes
from horcrux.ids import VmId
from horcrux.storage.volume import VolumeUse
from tests.agent.storage.bench import Bench
from tests.support.http import Served, serving

IMAGE = b"\xeb\x63\x90" + b"x" * 3_000_000


@pytest.fixture
async def served(bench: Bench) -> AsyncIterator[Served]:
    async with serving(routes(bench.service), tasks=bench.engine) as served:
        yield served


async def call(
    served: Served, method: str, path: str, *, json: object = None, data: object = None, token: str = "admin"
) -> tuple[int, object]:
    async with served.client.request(method, path, json=json, data=data, headers=served.as_(token)) as answer:
        return answer.status, await answer.json() if answer.content_type.endswith("json") else None


async def test_pools_are_listed_as_the_contract_has_them(served: Served) -> None:
    status, body = await call(served, "GET", "/api/storage", token="viewer")
    assert status == 200
    assert isinstance(body, list)
    (pool,) = body
    assert pool["id"] == "local"
    assert pool["storage_type"] == "dir"
    assert type(pool["available"]) is int
    assert type(pool["total"]) is int


async def test_a_volume_is_created_grown_and_deleted(served: Served) -> None:
    order = {"name": "vm-100-disk0", "size_gb": 50}
    status, body = await call(served, "POST", "/api/storage/local/volumes", json=order)
    assert status == 201
    assert isinstance(body, dict)
    assert body["size_gb"] == 50
    path = "/api/storage/local/volumes/vm-100-disk0"
    assert (await call(served, "POST", "/api/storage/local/volumes", json=order))[0] == 409
    assert (await call(served, "POST", path + "/resize", json={"size_gb": 60}))[0] == 200
    assert (await call(served, "POST", path + "/resize", json={"size_gb": 1}))[0] == 409
    assert (await call(served, "DELETE", path))[0] == 204
    assert (await call(served, "DELETE", path))[0] == 404


async def test_a_volume_in_use_is_refused_with_who_uses_it(served: Served, bench: Bench) -> None:
    await call(served, "POST", "/api/storage/local/volumes", json={"name": "a", "size_gb": 1})
    bench.uses.volumes["a"] = VolumeUse(VmId("vm-7"), "disk0")
    status, body = await call(served, "DELETE", "/api/storage/local/volumes/a")
    assert status == 409
    assert "vm-7" in str(body)
    status, body = await call(served, "GET", "/api/storage/local/volumes")
    assert isinstance(body, list)
    assert body[0]["used_by"] == {"vm_id": "vm-7", "disk": "disk0", "template": None}


async def test_a_pool_is_created_shown_and_deleted(served: Served, tmp_path: Path) -> None:
    order = {"id": "fast", "name": "Fast", "storage_type": "dir", "target": str(tmp_path / "fast")}
    assert (await call(served, "POST", "/api/storage", json=order, token="operator"))[0] == 403
    assert (await call(served, "POST", "/api/storage", json=order))[0] == 201
    status, body = await call(served, "GET", "/api/storage/fast")
    assert status == 200
    assert isinstance(body, dict)
    assert body["name"] == "Fast"
    assert (await call(served, "DELETE", "/api/storage/fast"))[0] == 204
    assert (await call(served, "GET", "/api/storage/fast"))[0] == 404


@pytest.mark.parametrize(
    ("path", "order", "field"),
    [
        ("/api/storage", {"id": "a", "target": "/srv/a", "storage_type": "zfs"}, "storage_type"),
        ("/api/storage", {"id": "a", "target": "relative"}, "target"),
        ("/api/storage", {"id": "a", "target": "/srv/a", "colour": "red"}, "colour"),
        ("/api/storage/local/volumes", {"name": "a", "size_gb": "big"}, "size_gb"),
        ("/api/storage/local/volumes", {"name": "../a", "size_gb": 1}, "name"),
        ("/api/storage/local/images", {"name": "a", "url": "ftp://x/y"}, "url"),
        ("/api/storage/local/images", {"name": "a", "url": "http://x/y"}, "sha256"),
    ],
)
async def test_bad_input_is_400_and_names_the_field(
    served: Served, path: str, order: dict[str, object], field: str
) -> None:
    status, body = await call(served, "POST", path, json=order)
    assert status == 400
    assert field in str(body)


async def test_an_image_is_uploaded_as_a_stream(served: Served, bench: Bench) -> None:
    digest = hashlib.sha256(IMAGE).hexdigest()
    path = f"/api/storage/local/images/a.img?sha256={digest}"
    status, body = await call(served, "PUT", path, data=IMAGE, token="operator")
    assert status == 201
    assert isinstance(body, dict)
    assert (body["name"], body["format"], body["sha256"]) == ("a.img", "raw", digest)
    assert (await call(served, "PUT", "/api/storage/local/images/a.img", data=IMAGE))[0] == 409
    status, listed = await call(served, "GET", "/api/storage/local/images")
    assert isinstance(listed, list)
    assert [image["name"] for image in listed] == ["a.img"]
    assert (await call(served, "DELETE", "/api/storage/local/images/a.img"))[0] == 204


@pytest.mark.parametrize("query", ["sha256=" + "ab" * 32, "sha256=nonsense", "sha=x"])
async def test_an_upload_that_is_refused_leaves_nothing(served: Served, bench: Bench, query: str) -> None:
    status, _ = await call(served, "PUT", f"/api/storage/local/images/a.img?{query}", data=IMAGE)
    assert status == 400
    assert await bench.service.images.views("local") == []


async def test_a_client_that_goes_in_the_middle_leaves_nothing(served: Served, bench: Bench) -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()
    bench.engine.listen(lambda task: ended.put_nowait(task.error.message) if task.error else None)
    arrived = asyncio.Event()
    bench.engine.listen(lambda task: arrived.set() if task.stage else None)
    _, writer = await asyncio.open_connection("127.0.0.1", served.server.port)
    head = "PUT /api/storage/local/images/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 9000000\r\n\r\n"
    writer.write(head.encode() + IMAGE)
    await writer.drain()
    async with asyncio.timeout(20):
        await arrived.wait()
        writer.close()
        assert "broken off" in await ended.get()
    left = await asyncio.to_thread(lambda: [p for p in bench.target.rglob("*") if p.is_file()])
    assert left == []


async def test_an_upload_with_respond_async_is_read_to_its_end(served: Served, bench: Bench) -> None:
    headers = {**served.as_("admin"), "Prefer": "respond-async"}
    async with served.client.put("/api/storage/local/images/a", data=IMAGE, headers=headers) as answer:
        assert answer.status in (201, 202)
    assert (await bench.service.images.find("local", "a")).size_bytes == len(IMAGE)


async def test_unknown_things_are_404(served: Served) -> None:
    for method, path in (
        ("GET", "/api/storage/none"),
        ("GET", "/api/storage/none/volumes"),
        ("GET", "/api/storage/none/images"),
        ("DELETE", "/api/storage/local/images/none"),
        ("DELETE", "/api/storage/none"),
    ):
        assert (await call(served, method, path))[0] == 404, path


async def test_strange_names_in_the_path_are_refused(served: Served) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", ".about", "%00", "a%0a", "a.part"):
        async with served.client.request(
            "PUT", f"/api/storage/local/images/{name}", data=b"x", headers=served.as_("admin")
        ) as answer:
            assert answer.status in (400, 404), name


def test_every_call_has_a_scope_and_every_change_an_audit_action(bench: Bench) -> None:
    table = routes(bench.service)
    assert len(table) == 14
    for route in table:
        assert (route.audit is not None) == (route.method != "GET")


async def test_the_client_reads_the_answer_even_when_the_body_was_not_wanted(served: Served) -> None:
    async with aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{served.server.port}/api/storage/none/images/a"
        async with client.put(url, data=IMAGE, headers=served.as_("admin")) as answer:
            assert answer.status == 404
