"""Streams and websockets, and how a server stops with them open."""

import asyncio

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from agent.http.app import HttpServer
from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Route
from agent.http.settings import HttpSettings
from horcrux.auth.permission import Scope
from horcrux.errors import Unavailable
from tests.support.http import serving
from tests.support.waiting import eventually


class Api:
    def __init__(self) -> None:
        self.cleaned_up: list[str] = []
        self.slow = asyncio.Event()
        self.slow_began = asyncio.Event()

    async def events(self, call: Call[Nothing, Nothing]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(call.raw)
        await response.write(b"data: 1\n\n")
        try:
            await asyncio.Event().wait()
        finally:
            self.cleaned_up.append("events")
        return response

    async def download(self, call: Call[Nothing, Nothing]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(call.raw)
        await response.write(b"half")
        raise Unavailable("the disk went away")

    async def upload(self, call: Call[Nothing, Nothing]) -> int:
        self.slow_began.set()
        return len(await call.raw.content.read())

    async def echo(self, call: Call[Nothing, Nothing]) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(call.raw)
        async for message in socket:
            await socket.send_str(str(message.data))
        self.cleaned_up.append("socket")
        return socket

    async def take_time(self, _: Call[Nothing, Nothing]) -> str:
        self.slow_began.set()
        await self.slow.wait()
        return "done"

    def routes(self) -> list[AnyRoute]:
        return [
            Route(
                "GET", "/api/events", self.events, scope=Scope.VM_READ, summary="E", content_type="text/event-stream"
            ),
            Route("GET", "/api/download", self.download, scope=Scope.VM_READ, summary="D", content_type="x/y"),
            Route("GET", "/api/socket", self.echo, scope=Scope.VM_CONSOLE, summary="S", websocket=True),
            Route("GET", "/api/open-socket", self.echo, scope=OPEN, summary="S", websocket=True, limit=Limit.NONE),
            Route("PUT", "/api/up", self.upload, scope=Scope.STORAGE_WRITE, summary="U", audit="up", stream_body=True),
            Route("GET", "/api/slow", self.take_time, scope=Scope.VM_READ, summary="Slow"),
        ]


async def test_a_stopping_server_ends_an_event_stream_as_if_it_were_over() -> None:
    api = Api()
    async with serving(api.routes()) as s, s.client.get("/api/events", headers=s.as_("viewer")) as answer:
        assert await answer.content.readline() == b"data: 1\n"
        assert answer.headers["X-Request-Id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with asyncio.timeout(3):
            await s.server.stop()
            assert await answer.content.read() == b"\n"  # a clean end: a cut one would raise
    assert api.cleaned_up == ["events"]


async def test_a_stopping_server_says_going_away_to_websockets() -> None:
    api = Api()
    async with serving(api.routes()) as s, s.client.ws_connect("/api/socket", headers=s.as_("admin")) as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"
        stopping = asyncio.ensure_future(s.server.stop())
        message = await socket.receive()
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        async with asyncio.timeout(3):
            await stopping
    assert api.cleaned_up == ["socket"]


async def test_a_stopping_server_finishes_what_it_has_begun_and_takes_nothing_new() -> None:
    api = Api()
    async with serving(api.routes()) as s:
        asking = asyncio.ensure_future(s.client.get("/api/slow", headers=s.as_("viewer")))
        await api.slow_began.wait()
        port = s.server.port
        stopping = asyncio.ensure_future(s.server.stop())
        async with asyncio.timeout(3):
            while True:  # until it no longer listens
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                except ConnectionError:
                    break
        api.slow.set()
        async with await asking as answer:
            assert await answer.json() == "done"
        await stopping


async def test_a_request_that_outlasts_the_limit_does_not_keep_the_server_from_stopping() -> None:
    api = Api()
    async with serving(api.routes(), settings=HttpSettings(shutdown_s=0.1)) as s:
        asking = asyncio.ensure_future(s.client.get("/api/slow", headers=s.as_("viewer")))
        await api.slow_began.wait()
        async with asyncio.timeout(3):
            await s.server.stop()
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_a_download_that_breaks_does_not_look_whole() -> None:
    api = Api()
    async with serving(api.routes()) as s, s.client.get("/api/download", headers=s.as_("viewer")) as answer:
        assert answer.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_a_client_that_leaves_an_event_stream_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    async with serving(api.routes()) as s, s.client.get("/api/events", headers=s.as_("viewer")) as answer:
        assert await answer.content.readline() == b"data: 1\n"
        answer.close()
    assert not [r for r in caplog.records if r.levelname in {"ERROR", "CRITICAL"}]


@pytest.mark.parametrize("path", ["/api/socket", "/api/open-socket"])
async def test_a_websocket_is_not_opened_from_a_foreign_page(path: str) -> None:
    api = Api()
    async with serving(api.routes()) as s:
        for origin, status in (("http://evil.example", 403), (s.server.url, 101)):
            headers = {**s.as_("admin"), "Origin": origin}
            try:
                async with s.client.ws_connect(path, headers=headers):
                    seen = 101
            except aiohttp.WSServerHandshakeError as error:
                seen = error.status
            assert seen == status


async def test_a_session_cookie_opens_a_websocket_from_our_own_page_only() -> None:
    api = Api()
    async with serving(api.routes()) as s:
        for headers, status in (({}, 403), ({"Origin": s.server.url}, 101)):
            try:
                async with s.client.ws_connect("/api/socket", headers={"Cookie": "horcrux_session=admin", **headers}):
                    seen = 101
            except aiohttp.WSServerHandshakeError as error:
                seen = error.status
            assert seen == status


async def test_a_plain_get_of_a_websocket_is_400() -> None:
    api = Api()
    async with serving(api.routes()) as s, s.client.get("/api/open-socket") as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == "invalid"


async def test_an_address_that_is_taken_is_unavailable_and_named() -> None:
    api = Api()
    async with serving(api.routes()) as s:
        second = HttpServer(web.Application(), "127.0.0.1", s.server.port)
        with pytest.raises(Unavailable, match=f"127.0.0.1:{s.server.port}"):
            await second.start()


async def test_an_upload_whose_client_leaves_is_audited_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    async with serving(api.routes()) as s:
        _, writer = await asyncio.open_connection("127.0.0.1", s.server.port)
        writer.write(
            b"PUT /api/up HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: 100\r\n\r\nhalf"
        )
        await api.slow_began.wait()
        writer.transport.abort()
        await eventually(lambda: bool(s.audit.entries))
    assert [(e.action, e.status) for e in s.audit.entries] == [("up", 499)]
    assert not [r for r in caplog.records if r.levelname in {"ERROR", "CRITICAL"}]
