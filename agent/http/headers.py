"""Headers that are on every answer, whoever made it."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from agent.http.exchange import Exchange
from agent.http.middleware.trace import HEADER as REQUEST_ID

_ALWAYS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API: Final[Mapping[str, str]] = {
    **_ALWAYS,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
# 'self' in connect-src covers ws: and wss: of the same host and port (CSP 3, section 6.7.2.8).
PAGE: Final[Mapping[str, str]] = {
    **_ALWAYS,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
}


def add_headers(raw: web.Request, response: web.StreamResponse, exchange: Exchange | None) -> None:
    """What a handler has set itself stands."""
    headers = response.headers
    for name, value in (API if is_api(raw.path) else PAGE).items():
        headers.setdefault(name, value)
    headers["Server"] = "horcrux"  # aiohttp has put its name and version there
    if exchange is None:
        return
    headers[REQUEST_ID] = exchange.request_id
    quota = exchange.quota
    if quota is not None:
        headers["RateLimit-Limit"] = str(quota.limit)
        headers["RateLimit-Remaining"] = str(quota.remaining)
        headers["RateLimit-Reset"] = str(quota.reset_s)


def is_api(path: str) -> bool:
    """Whether `path` is for programs; everything else belongs to the browser console."""
    return path.startswith(("/api/", "/internal/", "/ws/")) or path in _API_ROOTS


_API_ROOTS = frozenset({"/api", "/internal", "/ws", "/healthz", "/metrics"})
