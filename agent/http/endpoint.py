"""One route at work. The steps are chosen when the table is built, so that a request takes only those it needs:

trace -> identify -> count -> scope -> decode -> idempotency -> handler -> wait for the task -> render -> audit
  any step may raise: errors -> dialect -> audit
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web

from agent.http.decode import BodyDecoder, QueryDecoder, check_content_type, path_values, read_body
from agent.http.dialects import Problem
from agent.http.etag import if_match_of
from agent.http.exchange import EXCHANGE, AnyCall, Exchange
from agent.http.middleware import idempotency, wait
from agent.http.middleware.audit import Auditor
from agent.http.middleware.auth import Gate, check_scope, is_open
from agent.http.middleware.errors import answer_problem, problem_from
from agent.http.middleware.rate_limit import Addresses, subject_of
from agent.http.middleware.trace import request_id_of
from agent.http.ports import IdempotencyStore, RateLimiter, Remembered
from agent.http.render import Renderer
from agent.http.route import AnyRoute, Call, Limit, Nothing
from agent.http.settings import HttpSettings
from horcrux.auth.principal import Principal
from horcrux.clock import Clock
from horcrux.errors import RateLimited, Unauthenticated
from horcrux.ids import Entropy
from horcrux.tasks import Task


class Steps(NamedTuple):
    """What every endpoint of an application shares."""

    gate: Gate
    limiter: RateLimiter
    addresses: Addresses
    waiting: wait.Waiting
    auditor: Auditor
    idempotency: IdempotencyStore
    settings: HttpSettings
    clock: Clock
    entropy: Entropy


class Endpoint:
    """`handle` is what aiohttp calls."""

    def __init__(self, route: AnyRoute, steps: Steps) -> None:
        self.route = route
        self._steps = steps
        self._is_open = is_open(route)
        self._reads_body = not route.stream_body and not route.websocket
        self._reads_if_match = route.method != "GET"
        self._may_repeat = route.method == "POST" and self._reads_body and not self._is_open
        self._has_path_values = "{" in route.path
        self._body = BodyDecoder(route.body)
        self._query = QueryDecoder(route.query)
        self._renderer = Renderer(route)
        self._no_body = Nothing() if route.body is Nothing else None

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        """Never raises but for a client that left, or a server that stops."""
        steps = self._steps
        exchange = Exchange(raw, self.route, request_id_of(raw, steps.entropy), steps.addresses.of(raw))
        raw[EXCHANGE] = exchange
        try:
            response = await self._answer(exchange)
        except ConnectionError as error:
            if not exchange.is_deserted():
                return self._refuse(exchange, error)  # a connection of ours broke, not the client's
            steps.auditor.record(exchange, 499, "canceled: the client left before the answer")
            raise
        except asyncio.CancelledError:
            return exchange.end_stream_or_raise()
        except Exception as error:  # noqa: BLE001  # the edge: whatever was raised becomes an answer
            response = self._refuse(exchange, error)
        else:
            steps.auditor.record(exchange, response.status)
        return response

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        route, raw = self.route, exchange.raw
        if self._is_open:
            self._count(exchange, subject_of(exchange.address))
        else:
            exchange.principal = principal = await self._identify(exchange)
            by_address = route.limit is Limit.LOGIN
            self._count(exchange, subject_of(exchange.address) if by_address else principal.token_id)
            check_scope(route, principal)
        if route.websocket:
            self._steps.gate.check_websocket_origin(raw)
        call, body = await self._decode(exchange)
        exchange.call = call
        if self._may_repeat and (key := idempotency.key_of(raw)) is not None:
            return await self._once(exchange, call, key, idempotency.fingerprint(raw, body))
        return await self._run(exchange, call)

    async def _identify(self, exchange: Exchange) -> Principal:
        """Raises Unauthenticated, RateLimited for an address that keeps trying, Forbidden."""
        try:
            return await self._steps.gate.identify(exchange.raw)
        except Unauthenticated:
            exchange.quota = self._steps.limiter.admit(Limit.DEFAULT, subject_of(exchange.address))
            raise

    def _count(self, exchange: Exchange, subject: str) -> None:
        if self.route.limit is not Limit.NONE:
            exchange.quota = self._steps.limiter.admit(self.route.limit, subject)

    async def _decode(self, exchange: Exchange) -> tuple[AnyCall, bytes]:
        route, raw = self.route, exchange.raw
        path: Mapping[str, str] = path_values(raw) if self._has_path_values else {}
        query = self._query.decode(raw)
        body = b""
        if self._reads_body and raw.body_exists:
            body = await read_body(raw, route.max_body_bytes, self._steps.settings.body_time_limit_s)
            if body:
                check_content_type(raw)
        no_body = self._no_body
        call: AnyCall = Call(
            raw=raw,
            principal=exchange.principal,
            path=path,
            body=no_body if no_body is not None and not body else self._body.decode(body),
            query=query,
            request_id=exchange.request_id,
            if_match=if_match_of(raw) if self._reads_if_match else None,
        )
        return call, body

    async def _run(self, exchange: Exchange, call: AnyCall) -> web.StreamResponse:
        answer = await self.route.handler(call)
        if isinstance(answer, Task):
            return await self._wait(exchange, answer)
        return self._renderer.render(exchange.raw, answer)

    async def _wait(self, exchange: Exchange, task: Task) -> web.Response:
        """The task's outcome, or 202 where the client prefers that."""
        exchange.target = task.target
        within_s = wait.preference_of(exchange.raw)
        if within_s == 0:
            return wait.accepted(task)
        finished = await self._steps.waiting.finished(task.id, within_s)
        return wait.accepted(task) if finished is None else wait.outcome(self.route, finished)

    async def _once(self, exchange: Exchange, call: AnyCall, key: str, fingerprint: str) -> web.StreamResponse:
        """As `_run`, but what was done before under this key is answered from memory. A call that failed changed nothing
        and is tried again; a task that failed is remembered, since it may be looked at."""
        store, principal = self._steps.idempotency, call.principal
        before = await store.begin(key, principal, fingerprint)
        if before is not None:
            if before.task is None:
                return idempotency.replay(before)
            response = await self._wait(exchange, before.task)
            response.headers[idempotency.REPLAYED] = "true"
            return response
        try:
            answer = await self.route.handler(call)
        except BaseException:
            await asyncio.shield(store.forget(key, principal))
            raise
        if isinstance(answer, Task):
            await store.finish(key, principal, Remembered(task=answer))
            return await self._wait(exchange, answer)
        response_ = self._renderer.render(exchange.raw, answer)
        if isinstance(response_, web.Response):
            await store.finish(key, principal, idempotency.to_remember(self.route, response_))
        else:
            await store.forget(key, principal)
        return response_

    def _refuse(self, exchange: Exchange, error: Exception) -> web.StreamResponse:
        problem = self._problem(exchange, error)
        self._steps.auditor.record(exchange, problem.status, f"{problem.code}: {problem.message}")
        if exchange.stream is not None:
            # Half an answer is out: cutting the connection is the only way left to say that it is not whole.
            raise ConnectionError(f"{exchange.raw.path} broke off: {problem.code}")
        return answer_problem(problem, exchange, error)

    def _problem(self, exchange: Exchange, error: Exception) -> Problem:
        if isinstance(error, RateLimited):
            exchange.quota = self._steps.limiter.refused(self.route.limit, error.retry_after_s)
        if isinstance(error, wait.TaskFailed):
            return wait.told(error, exchange.request_id, self._steps.clock.now())
        return problem_from(error, exchange, self._steps.clock.now())
