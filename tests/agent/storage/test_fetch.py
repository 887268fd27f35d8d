"""Fetching from the web, from a server on loopback that the test makes."""

import hashlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from horcrux.errors import InvalidFields
from horcrux.storage.bodies import FetchImage
from tests.agent.storage.bench import ADA, Bench

IMAGE = b"\xeb\x63\x90" + b"x" * 700_000
SUM = hashlib.sha256(IMAGE).hexdigest()


async def image(_: web.Request) -> web.Response:
    return web.Response(body=IMAGE)


async def chunked(request: web.Request) -> web.StreamResponse:
    """Without a Content-Length."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    await answer.write(IMAGE)
    return answer


async def broken(request: web.Request) -> web.StreamResponse:
    """Promises more than it sends."""
    answer = web.StreamResponse(headers={"Content-Length": str(len(IMAGE) + 1000)})
    await answer.prepare(request)
    await answer.write(IMAGE)
    assert request.transport is not None
    request.transport.close()
    return answer


async def packed(_: web.Request) -> web.Response:
    """Bytes that say they are compressed: they must be kept as they come."""
    return web.Response(body=IMAGE, headers={"Content-Encoding": "gzip"})


async def loop(_: web.Request) -> web.Response:
    raise web.HTTPFound("/loop")


async def away(request: web.Request) -> web.Response:
    raise web.HTTPFound(request.query["to"])


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes([web.get("/image", image), web.get("/chunked", chunked), web.get("/broken", broken)])
    app.add_routes([web.get("/packed", packed), web.get("/away", away), web.get("/loop", loop)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def fetch(bench: Bench, url: str, sha256: str | None = SUM) -> str:
    """Code of the failure, "" when it was fetched."""
    task = await bench.service.images.fetch("local", FetchImage(name="a", url=url, sha256=sha256), ADA)
    ended = await bench.engine.wait(task.id)
    images = await bench.service.images.views("local")
    assert [i.name for i in images] == ([] if ended.error else ["a"])
    return ended.error.code if ended.error else ""


@pytest.mark.parametrize("path", ["/image", "/chunked", "/packed", "/away?to=/image", "/away?to=/away?to=/image"])
async def test_an_image_is_fetched_with_its_checksum(bench: Bench, server: str, path: str) -> None:
    assert await fetch(bench, server + path) == ""
    assert (await bench.service.images.find("local", "a")).sha256 == SUM


async def test_another_content_is_refused(bench: Bench, server: str) -> None:
    assert await fetch(bench, server + "/image", "ab" * 32) == "invalid_fields"


async def test_http_without_a_checksum_is_refused_before_anything_is_asked(bench: Bench, server: str) -> None:
    with pytest.raises(InvalidFields, match="sha256"):
        await fetch(bench, server + "/image", None)


@pytest.mark.parametrize("path", ["/none", "/broken"])
async def test_a_server_that_fails_is_unreachable(bench: Bench, server: str, path: str) -> None:
    assert await fetch(bench, server + path) == "unreachable"


async def test_nobody_there_is_unreachable(bench: Bench) -> None:
    assert await fetch(bench, "http://127.0.0.1:1/image") == "unreachable"


@pytest.mark.parametrize("to", ["file:///etc/shadow", "ftp://127.0.0.1/a", "/loop"])
async def test_a_redirect_elsewhere_or_without_end_is_refused(bench: Bench, server: str, to: str) -> None:
    assert await fetch(bench, f"{server}/away?to={to}") in {"invalid", "invalid_fields"}


async def test_the_task_tells_no_secrets_of_the_url(bench: Bench, server: str) -> None:
    url = server.replace("http://", "http://ada:pass-word@") + "/none?signature=hush"
    task = await bench.service.images.fetch("local", FetchImage(name="a", url=url, sha256=SUM), ADA)
    ended = await bench.engine.wait(task.id)
    told = f"{ended} {await bench.engine.log_of(task.id)}"
    assert "/none" in told
    assert "hush" not in told
    assert "pass-word" not in told
