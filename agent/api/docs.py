"""What the API says of itself: `GET /api/openapi.json` for programs, `GET /api/docs` for people, offline and without a script."""

import asyncio
from collections.abc import Sequence
from typing import cast

import msgspec

from agent.http.docs_page import DocsPage
from agent.http.openapi import openapi
from agent.http.route import OPEN, AnyRoute, Call, Nothing, Reply, Route
from horcrux import __version__

_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Docs:
    """Made at the first question, on a thread: it reads the sources for the notes of the fields."""

    def __init__(self, routes: Sequence[AnyRoute]) -> None:
        """`routes` are all the others; the two of this module are told of too."""
        self._all = [*routes, *self.routes()]
        self._made: asyncio.Future[tuple[bytes, bytes]] | None = None

    def routes(self) -> Sequence[AnyRoute]:
        rows = (
            Route(
                "GET",
                "/api/openapi.json",
                self._openapi,
                scope=OPEN,
                response=dict[str, object],
                summary="This API as OpenAPI 3.1",
            ),
            Route(
                "GET",
                "/api/docs",
                self._page,
                scope=OPEN,
                response=str,
                content_type="text/html; charset=utf-8",
                summary="This API to read",
            ),
        )
        return cast("Sequence[AnyRoute]", rows)

    async def _openapi(self, _: Call[Nothing, Nothing]) -> Reply:
        document, _page = await self._ready()
        return Reply(body=msgspec.Raw(document), headers={"Cache-Control": "no-cache"})

    async def _page(self, _: Call[Nothing, Nothing]) -> Reply:
        _document, page = await self._ready()
        return Reply(body=page, headers={"Cache-Control": "no-cache", "Content-Security-Policy": _CSP})

    async def _ready(self) -> tuple[bytes, bytes]:
        if self._made is None:
            self._made = asyncio.ensure_future(asyncio.to_thread(self._make))
        return await asyncio.shield(self._made)

    def _make(self) -> tuple[bytes, bytes]:
        document = openapi(self._all, version=__version__)
        return msgspec.json.encode(document), DocsPage(self._all, document).html().encode()


def routes(others: Sequence[AnyRoute]) -> Sequence[AnyRoute]:
    """The rows of this module, about `others` and themselves."""
    return Docs(others).routes()
