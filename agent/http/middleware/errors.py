"""What is raised becomes an answer; what nobody meant to raise is logged once and answered 500 with the request id only.

A client that went away is not an error: ConnectionError passes through to aiohttp, which drops the connection.
"""

import logging
from http import HTTPStatus

from aiohttp import web

from agent.http.dialects import INTERNAL_SENTENCE, Problem, dialect_of_path, problem_of, render_problem
from agent.http.exchange import Exchange
from horcrux.errors import HorcruxError, RateLimited, Unauthenticated

log = logging.getLogger("horcrux.http")


def problem_from(error: Exception, exchange: Exchange, now: float) -> Problem:
    """The problem to tell. Logs what is a fault of ours."""
    match error:
        case HorcruxError():
            problem = problem_of(error, request_id=exchange.request_id, at=now)
            if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log(error, exchange)
            return problem
        case web.HTTPException():  # aiohttp's own, such as a websocket handshake that is none
            message = error.text or error.reason
            return _plain(exchange, now, error.status, "invalid" if error.status < 500 else "internal", message)
        case _:
            _log(error, exchange)
            return _plain(exchange, now, 500, "internal", INTERNAL_SENTENCE)


def _log(error: Exception, exchange: Exchange) -> None:
    raw = exchange.raw
    log.error("%s %s failed, request %s", raw.method, raw.path, exchange.request_id, exc_info=error)


def _plain(exchange: Exchange, now: float, status: int, code: str, message: str) -> Problem:
    return Problem(status=status, code=code, message=message, request_id=exchange.request_id, at=now)


def answer_problem(problem: Problem, exchange: Exchange, error: Exception | None = None) -> web.Response:
    """The response that tells `problem` in the dialect of the route, or of the path when there is no route."""
    dialect = exchange.route.dialect if exchange.route else dialect_of_path(exchange.raw.path)
    status, body = render_problem(dialect, problem)
    headers = {"Content-Type": "application/json"}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="horcrux"'
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "5"
    if status == HTTPStatus.PRECONDITION_FAILED:
        revision = problem.details.get("revision")
        if isinstance(revision, int):
            headers["ETag"] = f'"{revision}"'
    response = web.Response(status=status, reason=_reason(status), body=body, headers=headers)
    if not exchange.raw.content.is_eof():
        response.force_close()  # nobody reads the rest of the body
    return response


def _reason(status: int) -> str | None:
    return "Canceled" if status == 499 else None
