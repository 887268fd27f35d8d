"""The server: the route table on aiohttp, and its life.

start -> serving -> stop: no new connections -> websockets closed 1001, event streams ended -> requests under way finish
                          within the limit, those that wait for a task are told to ask later -> closed
"""

import asyncio
import logging
import os
import ssl
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self
from weakref import WeakSet

from aiohttp import WSCloseCode, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler as AiohttpHandler
from aiohttp.typedefs import Middleware

from agent.http.dialects import Problem
from agent.http.endpoint import Endpoint, Steps
from agent.http.exchange import EXCHANGE, Exchange
from agent.http.headers import add_headers, is_api
from agent.http.middleware.audit import Auditor
from agent.http.middleware.auth import Gate
from agent.http.middleware.errors import answer_problem
from agent.http.middleware.rate_limit import Addresses
from agent.http.middleware.trace import request_id_of
from agent.http.middleware.wait import Waiting
from agent.http.ports import AuditSink, Authenticator, IdempotencyStore, RateLimiter, TaskWaiter
from agent.http.route import AnyRoute
from agent.http.settings import HttpSettings
from agent.http.static import Pages
from horcrux.clock import Clock
from horcrux.errors import Unavailable
from horcrux.ids import Entropy

log = logging.getLogger("horcrux.http")
CLOSE_LIMIT_S = 2
"""How long a websocket's client may take to answer our close."""

LINGER_S = 2
"""How long the rest of a refused body is read and thrown away, so that its sender gets to see the answer."""


class Streams:
    """Event streams and websockets that are open, and how they end when the server stops."""

    def __init__(self, waiting: Waiting, settings: HttpSettings) -> None:
        self._open: WeakSet[Exchange] = WeakSet()
        self._waiting = waiting
        self._shutdown_s = settings.shutdown_s

    async def prepare(self, raw: web.Request, response: web.StreamResponse) -> None:
        """For `Application.on_response_prepare`."""
        exchange = raw.get(EXCHANGE)
        add_headers(raw, response, exchange)
        if exchange is None or isinstance(response, web.Response):
            return
        exchange.begin_stream(response)
        # Any other stream is a download: cut short, it must not look whole.
        if isinstance(response, web.WebSocketResponse) or response.content_type == "text/event-stream":
            self._open.add(exchange)

    async def stop(self, _: web.Application) -> None:
        """For `Application.on_shutdown`. Requests that wait for a task get half of the time limit."""
        asyncio.get_running_loop().call_later(self._shutdown_s / 2, self._waiting.stop)
        await asyncio.gather(*(self._end(exchange) for exchange in list(self._open)))

    async def _end(self, exchange: Exchange) -> None:
        stream = exchange.stream
        if not isinstance(stream, web.WebSocketResponse):
            exchange.leave()
            return
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await stream.close(code=WSCloseCode.GOING_AWAY, message=b"the agent stops")


def build_app(
    routes: Sequence[AnyRoute],
    *,
    authenticator: Authenticator,
    tasks: TaskWaiter,
    audit: AuditSink,
    rate_limiter: RateLimiter,
    idempotency: IdempotencyStore,
    clock: Clock,
    settings: HttpSettings | None = None,
    pages: Pages | None = None,
    entropy: Entropy = os.urandom,
) -> web.Application:
    """The application of these routes. Whatever else is asked for with GET outside of the APIs is a page of the console."""
    settings = settings or HttpSettings()
    waiting = Waiting(tasks)
    steps = Steps(
        gate=Gate(authenticator, clock),
        limiter=rate_limiter,
        addresses=Addresses(settings),
        waiting=waiting,
        auditor=Auditor(audit, clock),
        idempotency=idempotency,
        settings=settings,
        clock=clock,
        entropy=entropy,
    )
    streams = Streams(waiting, settings)
    app = web.Application(middlewares=[_unmatched(pages or Pages(None), steps)])
    app.on_response_prepare.append(streams.prepare)
    app.on_shutdown.append(streams.stop)
    for route in sorted(routes, key=_literals_first):
        endpoint = Endpoint(route, steps)
        app.router.add_route(route.method, route.path, endpoint.handle)
        if route.method == "GET" and not route.websocket and route.content_type != "text/event-stream":
            app.router.add_route("HEAD", route.path, endpoint.handle)
    return app


def _literals_first(route: AnyRoute) -> list[tuple[bool, str]]:
    """Sort key: `backups/latest` before `backups/{id}`, since the first match wins."""
    return [(part.startswith("{"), part) for part in route.path.split("/")]


def _unmatched(pages: Pages, steps: Steps) -> Middleware:
    """Answers what no route does: 405 and 404 in the path's dialect, else a page."""

    @web.middleware
    async def answer_unmatched(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
        if request.match_info.http_exception is None:
            return await handler(request)
        error = request.match_info.http_exception
        exchange = Exchange(request, None, request_id_of(request, steps.entropy), steps.addresses.of(request))
        request[EXCHANGE] = exchange
        if isinstance(error, web.HTTPMethodNotAllowed):
            allow = ", ".join(sorted(error.allowed_methods))
            message = f"{request.method} is not a method of {request.path}; there is {allow}"
            response = answer_problem(_problem(exchange, 405, "method_not_allowed", message, steps), exchange)
            response.headers["Allow"] = allow
            return response
        if request.method in {"GET", "HEAD"} and not is_api(request.path):
            return pages.answer(request)
        message = f"there is no {request.method} {request.path}"
        return answer_problem(_problem(exchange, 404, "not_found", message, steps), exchange)

    return answer_unmatched


def _problem(exchange: Exchange, status: int, code: str, message: str, steps: Steps) -> Problem:
    return Problem(
        status=status, code=code, message=message[:300], request_id=exchange.request_id, at=steps.clock.now()
    )


class HttpServer:
    """An application on a socket, from `async with` (or `start`) until its end (or `stop`)."""

    def __init__(
        self,
        app: web.Application,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        settings: HttpSettings | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._runner = web.AppRunner(
            app,
            access_log=None,  # who did what is in the audit; a line for every read is not
            handle_signals=False,
            shutdown_timeout=(settings or HttpSettings()).shutdown_s,
            keepalive_timeout=75,
            lingering_time=LINGER_S,
            logger=_quiet_logger(),
        )

    @property
    def port(self) -> int:
        """The port that is listened on; differs from the wanted one when that was 0."""
        address = self._runner.addresses[0]
        return int(address[1])

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def start(self) -> None:
        """Connections are accepted from now on. Raises Unavailable when the address cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls, backlog=512, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise Unavailable(f"cannot listen on {self._host}:{self._port}: {reason}; another agent there?") from error

    async def stop(self) -> None:
        """Nothing is open any more; doing it twice does no harm."""
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _quiet_logger() -> logging.Logger:
    """aiohttp logs a traceback for every line that is not HTTP, and for clients that leave; neither is news to an operator."""
    logger = logging.getLogger("horcrux.http.connections")
    logger.addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))
    )
    return logger
