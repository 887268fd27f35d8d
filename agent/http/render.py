"""What a handler returns becomes a response."""

import msgspec
from aiohttp import web

from agent.http.etag import is_unchanged, tag_of
from agent.http.route import AnyRoute, Reply

_encode = msgspec.json.Encoder().encode


class Renderer:
    """Made once for a route."""

    def __init__(self, route: AnyRoute) -> None:
        self._status = route.status
        self._is_json = route.content_type == "application/json"
        is_bare_text = route.content_type.startswith("text/") and "charset" not in route.content_type
        self._content_type = f"{route.content_type}; charset=utf-8" if is_bare_text else route.content_type
        self._may_be_unchanged = route.method == "GET"

    def render(self, raw: web.Request, answer: object) -> web.StreamResponse:
        """`answer` is a Reply, a body, None, or a response the handler has made itself."""
        if isinstance(answer, web.StreamResponse):
            return answer
        if isinstance(answer, Reply):
            return self._reply(raw, answer)
        return self._respond(raw, answer, self._status, {}, getattr(answer, "revision", None))

    def _reply(self, raw: web.Request, reply: Reply) -> web.Response:
        return self._respond(raw, reply.body, reply.status or self._status, dict(reply.headers), reply.revision)

    def _respond(
        self, raw: web.Request, body: object, status: int, headers: dict[str, str], revision: int | None
    ) -> web.Response:
        if isinstance(revision, int):
            tag = tag_of(revision)
            headers["ETag"] = tag
            if self._may_be_unchanged and is_unchanged(raw, tag):
                return web.Response(status=304, headers=headers)
        if body is None or status == 204:
            return web.Response(status=status, headers=headers)
        headers.setdefault("Content-Type", self._content_type)
        return web.Response(status=status, body=self._bytes(body), headers=headers)

    def _bytes(self, body: object) -> bytes:
        if isinstance(body, msgspec.Raw):
            return bytes(body)
        if self._is_json:
            return _encode(body)
        return body if isinstance(body, bytes) else str(body).encode()
