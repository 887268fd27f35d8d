"""The sign-in calls on the real server: service, routes, socket, store in memory, a clock that tests move."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from agent.api.auth import routes
from agent.auth.service import AuthService
from agent.http.app import HttpServer, build_app
from agent.http.idempotency_store import StoredAnswers
from agent.http.middleware.rate_limit import MovingWindows
from agent.http.route import AnyRoute
from cluster.store.memory import MemoryStore
from tests.support.auth import signing_in
from tests.support.clock import FakeClock
from tests.support.http import NO_LIMIT, AuditTrail, HandTasks


class SignInServer:
    def __init__(
        self, service: AuthService, client: aiohttp.ClientSession, url: str, audit: AuditTrail, clock: FakeClock
    ) -> None:
        self.service = service
        self.client = client
        self.url = url
        self.audit = audit
        self.clock = clock
        self.routes: list[AnyRoute] = list(routes(service))

    async def call(
        self, method: str, path: str, body: object = None, *, token: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, object, aiohttp.ClientResponse]:
        """Status, JSON body (None when there is none) and the response with its headers."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        async with self.client.request(method, path, json=body, headers=sent) as response:
            text = await response.text()
            return response.status, (await response.json() if text else None), response


@asynccontextmanager
async def sign_in_server() -> AsyncIterator[SignInServer]:
    clock, audit = FakeClock(), AuditTrail()
    store = MemoryStore(clock)
    async with signing_in(store, clock) as service:
        app = build_app(
            routes(service),
            authenticator=service,
            tasks=HandTasks(),
            audit=audit,
            rate_limiter=MovingWindows(NO_LIMIT, clock),
            idempotency=StoredAnswers(store, clock, "n1.boot1"),
            clock=clock,
            settings=NO_LIMIT,
        )
        async with (
            HttpServer(app, "127.0.0.1", 0, settings=NO_LIMIT) as server,
            aiohttp.ClientSession(server.url, cookie_jar=aiohttp.DummyCookieJar()) as client,
        ):
            yield SignInServer(service, client, server.url, audit, clock)
    await store.aclose()
