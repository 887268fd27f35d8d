"""The console's files, the page without them, and the pages about the API."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from openapi_spec_validator import validate

from agent.api.docs import Docs
from agent.http.openapi import document_bytes, openapi
from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Route
from agent.http.static import Pages
from horcrux.auth.permission import Scope
from tests.support.http import serving


class Disk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    size_gb: float
    """GiB; None takes the image's <own> size."""


class NewVm(msgspec.Struct, frozen=True, kw_only=True):
    """What a VM is made of."""

    id: str
    disks: tuple[Disk, ...] = ()
    notes: str | None = None


class VmView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    revision: int
    extra: dict[str, object]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    limit: int | None = None
    tag: tuple[str, ...] = ()


async def nothing(_: Call[Nothing, Nothing]) -> None:
    return None


ROUTES: list[AnyRoute] = [
    Route("GET", "/api/vms", nothing, scope=Scope.VM_READ, summary="List VMs", query=Filter, response=list[VmView]),
    Route(
        "POST",
        "/api/vms",
        nothing,
        scope=Scope.VM_WRITE,
        summary="Create <a> VM",
        body=NewVm,
        response=VmView,
        status=201,
        audit="vm.create",
        task=True,
    ),
    Route("GET", "/api/vms/{id}", nothing, scope=Scope.VM_READ, summary="Show", response=VmView),
    Route("DELETE", "/api/vms/{id}", nothing, scope=Scope.VM_WRITE, summary="Delete", status=204, audit="vm.delete"),
    Route("PUT", "/api/images/{name}", nothing, scope=Scope.STORAGE_WRITE, summary="Up", stream_body=True, audit="i"),
    Route("GET", "/api/ws", nothing, scope=OPEN, summary="Socket", websocket=True),
    Route("GET", "/healthz", nothing, scope=OPEN, summary="Is it up", limit=Limit.NONE),
]


@pytest.fixture
def console(tmp_path: Path) -> Pages:
    """A built console, and a secret beside it."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>the console")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "assets" / "app-1a2b.js").write_text("plain")
    (folder / "assets" / "app-1a2b.js.br").write_bytes(b"brotli")
    (folder / "assets" / "app-1a2b.js.gz").write_bytes(b"gzip")
    (tmp_path / "secret").write_text("hunter2")
    (folder / "link").symlink_to(tmp_path / "secret")
    return Pages(folder)


async def test_hashed_files_are_kept_for_ever_and_the_page_is_asked_for_again(console: Pages) -> None:
    async with serving(ROUTES, pages=console) as s:
        async with s.client.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "identity"}) as answer:
            assert (await answer.read(), answer.content_type) == (b"plain", "text/javascript")
            assert "immutable" in answer.headers["Cache-Control"]
        async with s.client.get("/") as answer:
            assert (await answer.text(), answer.content_type) == ("<!doctype html>the console", "text/html")
            assert answer.headers["Cache-Control"] == "no-cache"
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        async with s.client.get("/icon.svg") as answer:
            assert answer.content_type == "image/svg+xml"


@pytest.mark.parametrize(("accepted", "body"), [("br, gzip", b"brotli"), ("gzip", b"gzip"), ("identity", b"plain")])
async def test_compressed_siblings_are_sent_to_who_takes_them(console: Pages, accepted: str, body: bytes) -> None:
    async with serving(ROUTES, pages=console) as s:
        head = (
            f"GET /assets/app-1a2b.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept-Encoding: {accepted}\r\n\r\n"
        )
        answer = await s.raw(head.encode())
    assert answer.endswith(b"\r\n\r\n" + body)
    assert b"Content-Type: text/javascript" in answer


@pytest.mark.parametrize("path", ["/vms", "/vms/vm-100/console?tab=2", "/index.html", "/deep/link/x.y", "/apis"])
async def test_every_other_path_is_the_console_which_has_routes_of_its_own(console: Pages, path: str) -> None:
    async with serving(ROUTES, pages=console) as s, s.client.get(path) as answer:
        assert (answer.status, await answer.text()) == (200, "<!doctype html>the console")


@pytest.mark.parametrize("path", ["/api", "/api/x", "/internal/x", "/ws", "/metrics", "/assets/app-gone.js"])
async def test_an_unknown_call_or_file_is_404_and_never_the_console(console: Pages, path: str) -> None:
    async with serving(ROUTES, pages=console) as s, s.client.get(path) as answer:
        assert answer.status == 404
        assert "<!doctype" not in await answer.text()


@pytest.mark.parametrize(
    "path", ["/../secret", "/assets/../../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret", "/link", "/assets/%00"]
)
async def test_nothing_outside_of_the_build_is_served(console: Pages, path: str) -> None:
    async with serving(ROUTES, pages=console) as s:
        answer = await s.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert b"hunter2" not in answer
    assert answer.split(b" ")[1] in {b"200", b"400", b"404"}


async def test_only_get_reaches_the_console(console: Pages) -> None:
    async with serving(ROUTES, pages=console) as s:
        async with s.client.post("/vms") as answer:
            assert answer.status == 404
        async with s.client.head("/vms") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_without_a_build_the_page_says_how_to_make_one() -> None:
    async with serving(ROUTES) as s, s.client.get("/vms") as answer:
        assert answer.status == 200
        assert "npm run build" in await answer.text()


def test_the_document_is_valid_openapi_3_1() -> None:
    document = json.loads(document_bytes([*ROUTES, *Docs(ROUTES).routes()], "1.2.3"))
    validate(document)
    assert document["openapi"] == "3.1.0"
    assert document["info"]["version"] == "1.2.3"


def test_the_document_tells_scopes_tasks_notes_and_conditions() -> None:
    document = json.loads(msgspec.json.encode(openapi(ROUTES, version="1")))
    create = document["paths"]["/api/vms"]["post"]
    assert create["x-scope"] == "vm.write"
    assert set(create["responses"]) >= {"201", "202", "400", "401", "403", "409", "413", "422", "429", "default"}
    assert {p["$ref"].rsplit("/")[-1] for p in create["parameters"]} == {"Prefer", "IdempotencyKey"}
    schemas = document["components"]["schemas"]
    assert schemas["NewVm"]["description"] == "What a VM is made of."
    assert schemas["NewVm"]["additionalProperties"] is False
    assert schemas["Disk"]["properties"]["size_gb"]["description"] == "GiB; null takes the image's <own> size."
    assert "Filter" not in schemas
    listing = document["paths"]["/api/vms"]["get"]["parameters"]
    assert listing[0] == {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer"}}
    assert document["paths"]["/healthz"]["get"]["security"] == []
    assert document["paths"]["/api/images/{name}"]["put"]["requestBody"]["content"].keys() == {
        "application/octet-stream"
    }
    assert "304" in document["paths"]["/api/vms/{id}"]["get"]["responses"]


async def test_the_pages_about_the_api_are_open_and_need_nothing_from_elsewhere() -> None:
    async with serving([*ROUTES, *Docs(ROUTES).routes()]) as s:
        async with s.client.get("/api/openapi.json") as answer:
            document = await answer.json()
            assert set(document["paths"]) == {r.path for r in ROUTES} | {"/api/openapi.json", "/api/docs"}
        async with s.client.get("/api/docs") as answer:
            page = await answer.text()
            assert answer.content_type == "text/html"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page)
    assert page.count("<details") == len(ROUTES) + 2
    assert "Create &lt;a&gt; VM" in page
    assert "vm.write" in page
