"""An agent for tests of the command line: answers what a test tells it to, remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from tests.support.command_line import Run, run_horcrux

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Asked(msgspec.Struct, frozen=True):
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


class StubAgent:
    """Answers are given by `METHOD /path`; several for one are given in turn, the last one from then on."""

    def __init__(self, home: Path) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.home = home
        self._answers: dict[str, list[Handler]] = {}

    def answer(
        self, call: str, body: object = None, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        content = b"" if body is None else json.dumps(body).encode()

        async def reply(_request: web.Request) -> web.Response:
            return web.Response(
                body=content, status=status, headers={"Content-Type": "application/json", **(headers or {})}
            )

        self.handle(call, reply)

    def handle(self, call: str, handler: Handler) -> None:
        self._answers.setdefault(call, []).append(handler)

    def events(self, *events: tuple[str, str, object]) -> None:
        """One connection to the event stream: these (kind, id, data), then it stays open until the client leaves."""

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"retry: 2000\n\n")
            for number, (kind, id_, data) in enumerate(events):
                text = json.dumps({"kind": kind, "id": id_, "at": 1.0, "data": data})
                await response.write(f"id: boot.{number}\nevent: {kind}\ndata: {text}\n\n: still here\n\n".encode())
            try:
                while True:
                    await response.write(b": still here\n\n")
                    await asyncio.sleep(0.05)  # a heartbeat, so that the end of the client is noticed
            except ConnectionError:
                return response

        self.handle("GET /api/events", stream)

    def find(self, call: str) -> Asked:
        """The last request to `METHOD /path`."""
        return next(asked for asked in reversed(self.asked) if f"{asked.method} {asked.path}" == call)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        is_socket = request.headers.get("Upgrade") == "websocket"
        body = b"" if is_socket else await request.read()
        self.asked.append(
            Asked(request.method, request.raw_path.partition("?")[0], request.query, request.headers, body)
        )
        handlers = self._answers.get(f"{request.method} {request.raw_path.partition('?')[0]}")
        if not handlers:
            return web.json_response({"error": f"no {request.raw_path} here", "code": "not_found"}, status=404)
        return await (handlers.pop(0) if len(handlers) > 1 else handlers[0])(request)

    async def horcrux(self, *words: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Run:
        """`horcrux` with these words, signed in by HORCRUX_TOKEN."""
        return await run_horcrux(
            *words,
            url=self.url,
            home=self.home,
            stdin=stdin,
            environment={"HORCRUX_TOKEN": "the-token", **(environment or {})},
        )


@asynccontextmanager
async def stub_agent(home: Path) -> AsyncIterator[StubAgent]:
    """A stub that listens on a free port of loopback; `home` is where the command line keeps its sessions."""
    agent = StubAgent(home)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", agent.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        agent.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield agent
    finally:
        await runner.cleanup()
