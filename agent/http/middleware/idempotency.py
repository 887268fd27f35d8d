"""A POST that is sent again with the same `Idempotency-Key` is answered, not done, again."""

import hashlib
import re

from aiohttp import web

from agent.http.ports import Remembered
from agent.http.route import AnyRoute
from horcrux.errors import Conflict, invalid_field

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEPT_BODY_BYTES = 256 * 1024
_SANE = re.compile(r"[\x21-\x7e]{1,200}\Z")
_KEPT_HEADERS = ("Content-Type", "ETag", "Location", "X-Horcrux-Task")


def key_of(raw: web.Request) -> str | None:
    """The key, if the client sent one; raises InvalidFields when it is none."""
    key = raw.headers.get(HEADER)
    if key is not None and not _SANE.match(key):
        raise invalid_field(HEADER, "1 to 200 visible ASCII characters")
    return key


def fingerprint(raw: web.Request, body: bytes) -> str:
    """Equal for equal requests."""
    digest = hashlib.sha256(f"{raw.method} {raw.path_qs}\n".encode("utf-8", "surrogateescape"))
    digest.update(body)
    return digest.hexdigest()


def to_remember(route: AnyRoute, response: web.Response) -> Remembered:
    body = response.body
    kept = body if isinstance(body, bytes) and len(body) <= MAX_KEPT_BODY_BYTES and not route.shows_secret else None
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    if body is None:
        kept = b""
    return Remembered(status=response.status, headers=headers, body=kept)


def replay(remembered: Remembered) -> web.Response:
    if remembered.body is None:
        raise Conflict("this was done before under the same Idempotency-Key; its answer was shown once and is not kept")
    headers = {**remembered.headers, REPLAYED: "true"}
    return web.Response(status=remembered.status, body=remembered.body or None, headers=headers)
