"""Whatever is sent, the answer is a 4xx that says what is wrong with it: never a 500, never silence."""

import gzip
import json

import msgspec
import pytest

from agent.http.route import AnyRoute, Call, Nothing, Route
from agent.http.settings import HttpSettings
from horcrux.auth.permission import Scope
from tests.support.http import Served, serving


class Disk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size_gb: float
    bus: str = "virtio"


class Lax(msgspec.Struct, frozen=True):
    user: str | None = None


class NewVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    cpu_cores: int = 1
    disks: tuple[Disk, ...] = ()
    cloud_init: Lax | None = None
    tags: dict[str, int] = {}


class Page(msgspec.Struct, frozen=True):
    limit: int = 100
    after: str | None = None
    ratio: float = 1.0
    deep: bool = False
    tag: tuple[str, ...] = ()


async def create(call: Call[NewVm, Nothing]) -> NewVm:
    return call.body


async def page(call: Call[Nothing, Page]) -> Page:
    return call.query


async def path(call: Call[Nothing, Nothing]) -> str:
    return call.path["id"]


async def swallow(call: Call[Nothing, Nothing]) -> int:
    return len(await call.raw.content.read())


ROUTES: list[AnyRoute] = [
    Route(
        "POST", "/api/vms", create, scope=Scope.VM_WRITE, summary="New", body=NewVm, audit="a", max_body_bytes=1_000_000
    ),
    Route("GET", "/api/vms", page, scope=Scope.VM_READ, summary="All", query=Page),
    Route("GET", "/api/vms/{id}", path, scope=Scope.VM_READ, summary="One"),
    Route("POST", "/api/vms/{id}/start", path, scope=Scope.VM_POWER, summary="Start", audit="a"),
    Route("PUT", "/api/images/{id}", swallow, scope=Scope.STORAGE_WRITE, summary="Up", audit="a", stream_body=True),
]

DEEP = 20_000
BODIES: list[tuple[bytes, str]] = [
    (b"", "id: is missing"),
    (b"{", "not JSON"),
    (b"nonsense", "not JSON"),
    (b'{"id": "a"} trailing', "not JSON"),
    (b'{"id": "a",}', "not JSON"),
    (b"{'id': 'a'}", "not JSON"),
    (b'\xef\xbb\xbf{"id": "a"}', "not JSON"),
    (b'{"id": NaN}', "not JSON"),
    (b'{"id": "a", "cpu_cores": Infinity}', "not JSON"),
    (b'{"id": "\xff\xfe"}', "not UTF-8"),
    (b'{"id": "\\ud800"}', "not JSON"),
    (b'{"id": "\\q"}', "not JSON"),
    (b"\x00", "not JSON"),
    ('{"id": "a"}'.encode("utf-16"), "not"),
    (b"[]", "body: expected an object, got a list"),
    (b"null", "body: expected an object, got null"),
    (b'"a"', "body: expected an object, got a string"),
    (b"17", "body: expected an object, got a number"),
    (b"[" * DEEP + b"]" * DEEP, "nested too deeply"),
    (b'{"id": "a", "tags": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", "nested too deeply"),
    (b'{"a":' * DEEP, "nested too deeply"),
    (b'{"id": 1}', "id: expected a string, got a number"),
    (b'{"id": null}', "id: expected a string, got null"),
    (b'{"id": "a", "cpu_cores": "4"}', "cpu_cores: expected a whole number, got a string"),
    (b'{"id": "a", "cpu_cores": 1.5}', "cpu_cores: expected a whole number, got a number with a fraction"),
    (b'{"id": "a", "cpu_cores": true}', "cpu_cores: expected a whole number, got a boolean"),
    (b'{"id": "a", "disks": [{"size_gb": "x"}]}', "disks[0].size_gb: expected a number, got a string"),
    (b'{"id": "a", "disks": [{"size_gb": 1}, {}]}', "disks[1].size_gb: is missing"),
    (b'{"id": "a", "disks": {}}', "disks: expected a list, got an object"),
    (b'{"id": "a", "tags": {"x": "y"}}', "tags.*: expected a whole number, got a string"),
    (b'{"id": "a", "cpu_cores": 99999999999999999999}', "cpu_cores: is larger than any number here can be"),
    (b'{"id": "a", "cpu_cores": -99999999999999999999}', "cpu_cores: is larger than any number here can be"),
    (b'{"id": "a", "cpu_cores": ' + b"9" * 5000 + b"}", "cpu_cores: integer value out of range"),
    (b'{"id": "a", "disks": [{"size_gb": 1e300}]}', "disks[0].size_gb: is larger than any number here can be"),
    (b'{"id": "a", "disks": [{"size_gb": 1e999}]}', "disks[0].size_gb: number out of range"),
    (b'{"x": 1, "y": 2, "id": "a"}', "x: is not a field of this call; y: is not a field of this call"),
    (
        b'{"x": 1, "disks": [{"z": 1}]}',
        "id: is missing; x: is not a field of this call; disks[0].size_gb: is missing; disks[0].z",
    ),
    (b'{"id": "a", "cloud_init": {"usr": "x"}}', "cloud_init.usr: is not a field of this call"),
]


async def _post(s: Served, body: bytes, **headers: str) -> tuple[int, str]:
    headers = {**s.as_("admin"), "Content-Type": "application/json", **headers}
    async with s.client.post("/api/vms", data=body, headers=headers) as answer:
        return answer.status, str((await answer.json()).get("error", ""))


@pytest.mark.parametrize(("body", "sentence"), BODIES, ids=[repr(b[:40]) for b, _ in BODIES])
async def test_a_wrong_body_is_400_and_says_where(body: bytes, sentence: str) -> None:
    async with serving(ROUTES) as s:
        status, error = await _post(s, body)
        assert status == 400, error
        assert sentence in error
        assert await _post(s, b'{"id": "a"}') == (200, "")  # the connection and the server are well


async def test_the_field_is_a_member_of_the_error() -> None:
    async with (
        serving(ROUTES) as s,
        s.client.post("/api/vms", json={"id": "a", "disks": [{"size_gb": "x"}]}, headers=s.as_("admin")) as answer,
    ):
        body = await answer.json()
    assert body["code"] == "invalid_fields"
    assert body["fields"] == [{"field": "disks[0].size_gb", "message": "expected a number, got a string"}]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("application/merge-patch+json", 200),
        ("text/plain", 400),
        ("application/x-www-form-urlencoded", 400),
        ("multipart/form-data; boundary=x", 400),
        ("", 400),
        (";;;", 400),
    ],
)
async def test_a_body_has_to_call_itself_json(content_type: str, status: int) -> None:
    async with serving(ROUTES) as s:
        got, error = await _post(s, b'{"id": "a"}', **{"Content-Type": content_type})
        assert got == status
        assert status == 200 or "application/json" in error


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("limit=x", "limit: expected a whole number, got a string"),
        ("limit=", "limit: expected a whole number"),
        ("limit=" + "9" * 3000, "limit"),
        ("limit=9007199254740993", "limit: is larger"),
        ("ratio=nan", "ratio"),
        ("ratio=inf", "ratio"),
        ("deep=maybe", "deep: expected true or false, got a string"),
        ("limit=1&limit=2", "limit: is given more than once"),
        ("nope=1&neither=2", "nope: is not a query parameter of this call; neither: is not"),
        ("=", "is not a query parameter"),
    ],
)
async def test_a_wrong_query_is_400_and_says_which_parameter(query: str, sentence: str) -> None:
    async with serving(ROUTES) as s, s.client.get(f"/api/vms?{query}", headers=s.as_("viewer")) as answer:
        assert answer.status == 400
        assert sentence in (await answer.json())["error"]


async def test_a_right_query_is_converted() -> None:
    async with serving(ROUTES) as s:
        url = "/api/vms?limit=5&after=vm%2F1&deep=true&tag=a&tag=b&ratio=0.5"
        async with s.client.get(url, headers=s.as_("viewer")) as answer:
            assert await answer.json() == {"limit": 5, "after": "vm/1", "ratio": 0.5, "deep": True, "tag": ["a", "b"]}


@pytest.mark.parametrize(
    "id_", ["%00", "a%2Fb", "%2e%2e%2f", "%ff%fe", "%ED%A0%80", "%0a", "%7f", "x" * 300, "%", "%zz", "..", "."]
)
async def test_an_odd_id_in_the_path_is_4xx_or_an_id_without_harm(id_: str) -> None:
    async with serving(ROUTES) as s:
        head = f"GET /api/vms/{id_} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer admin\r\n\r\n"
        answer = await s.raw(head.encode())
        status = int(answer.split(b" ")[1])
        assert status in {200, 400, 404}
        if status == 200:
            value = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert "/" not in str(value)
            assert "\x00" not in str(value)


async def test_a_body_that_says_it_is_too_large_is_413_before_it_is_read() -> None:
    async with serving(ROUTES) as s:
        answer = await s.raw(
            b"POST /api/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer admin\r\n"
            b"Content-Type: application/json\r\nContent-Length: 1000001\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b'"code":"too_large"' in answer


async def test_a_chunked_body_is_cut_off_at_the_limit() -> None:
    async with serving(ROUTES) as s:
        head = (
            b"POST /api/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer admin\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        answer = await s.raw(
            head + b"10000\r\n" + b" " * 65536 + b"\r\n" + (b"fffff\r\n" + b" " * 0xFFFFF + b"\r\n") * 3
        )
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_small_body_that_unpacks_into_a_huge_one_is_413() -> None:
    async with serving(ROUTES) as s:
        status, _ = await _post(s, gzip.compress(b" " * 50_000_000, mtime=0), **{"Content-Encoding": "gzip"})
        assert status == 413


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b'{"id": "a"}', "gzip"),
        (gzip.compress(b'{"id": "a"}', mtime=0)[:-12], "gzip"),
        (b"\x00\xff\x00", "deflate"),
        (b"xx", "br"),
    ],
)
async def test_a_body_that_is_not_what_its_encoding_says_is_400(body: bytes, encoding: str) -> None:
    async with serving(ROUTES) as s:
        head = (
            "POST /api/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer admin\r\n"
            f"Content-Type: application/json\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = await s.raw(head.encode() + body)
        assert answer.split(b" ")[1] == b"400"


async def test_a_body_that_never_comes_ends_in_400_after_the_time_limit() -> None:
    async with serving(ROUTES, settings=HttpSettings(body_time_limit_s=0.05)) as s:
        answer = await s.raw(
            b"POST /api/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer admin\r\n"
            b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"id"'
        )
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"did not arrive within 0.05 s" in answer


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /api/vms HTTP/9.9\r\n\r\n",
        b"GET /api/vms HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/vms HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/vms HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/vms HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /api/vms\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused_without_a_500(request_: bytes) -> None:
    async with serving(ROUTES) as s:
        answer = await s.raw(request_)
        assert answer == b"" or answer.split(b" ")[1].startswith(b"4")


async def test_a_call_without_a_body_refuses_one_with_fields_and_takes_an_empty_one() -> None:
    async with serving(ROUTES) as s:
        for body, status in ((b"", 200), (b"{}", 200), (b'{"force": true}', 400), (b"[]", 400)):
            headers = {**s.as_("admin"), "Content-Type": "application/json"}
            async with s.client.post("/api/vms/vm-1/start", data=body, headers=headers) as answer:
                assert answer.status == status


async def test_a_streamed_body_is_the_handlers_own_and_has_no_limit() -> None:
    async with (
        serving(ROUTES) as s,
        s.client.put("/api/images/a", data=b"x" * 3_000_000, headers=s.as_("admin")) as answer,
    ):
        assert await answer.json() == 3_000_000


async def test_a_refused_upload_is_answered_although_its_body_was_not_read() -> None:
    async with (
        serving(ROUTES) as s,
        s.client.put("/api/images/a", data=b"x" * 3_000_000, headers=s.as_("viewer")) as answer,
    ):
        assert answer.status == 403


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/v\xff\xfems",
        b"GET /api/%ff%fe",
        b"GET /api/vms/\xff",
        b"GET /api/vms?after=\xff\xfe",
        b"GET /api/vms?after=%ED%A0%80",
        b"GET /api/vms?%ff=%fe",
        b"GET /api/vms?limit=%ff",
        b"POST /api/%ED%A0%80",
        b"POST /api/vms/%ED%A0%80/start",
        b"GET http://[/api/vms",
        b"GET //[/api/vms",
        b"GET http://x:99999/api/vms",
        b"GET *",
        b"GET ?",
        b"GET /api/vms#fragment",
        b"OPTIONS *",
        b"CONNECT x:1",
        b"BREW /api/vms",
        b"TRACE /api/vms",
    ],
)
async def test_an_odd_request_line_is_4xx_or_harmless(line: bytes) -> None:
    async with serving(ROUTES) as s:
        answer = await s.raw(line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer admin\r\n\r\n")
        assert answer == b"" or answer.split(b" ")[1][:1] in {b"2", b"4"}, answer
    for entry in s.audit.entries:
        msgspec.json.encode(entry)


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer \xff\xfe",
        b"Authorization: \xff",
        b"Cookie: horcrux_session=\xff\xfe; =; ;;; a",
        b'Cookie: horcrux_session="\\377"',
        b"Cookie: horcrux_session=admin\r\nOrigin: http://[\r\nX-Horcrux-CSRF: 1",
        b"Cookie: horcrux_session=admin\r\nOrigin: \xff://\xff\r\nX-Horcrux-CSRF: 1",
        b"Authorization: Bearer admin\r\nContent-Type: \xff/\xfe",
        b"Authorization: Bearer admin\r\nContent-Type: application/json; charset=\xff",
        b"Authorization: Bearer admin\r\nIdempotency-Key: \xff",
        b"Authorization: Bearer admin\r\nPrefer: \xff, wait=99999999999999999999",
        b"Authorization: Bearer admin\r\nX-Request-Id: \xff\r\nX-Forwarded-For: \xff",
        b"Authorization: Bearer admin\r\nExpect: 100-continue",
        b"Authorization: Bearer admin\r\nExpect: the-impossible",
        b"Authorization: Bearer admin\r\nUpgrade: websocket\r\nConnection: upgrade",
        b"Authorization: Bearer admin\r\nAccept-Encoding: \xff\r\nIf-None-Match: \xff",
    ],
)
async def test_odd_headers_are_4xx_or_harmless(header: bytes) -> None:
    async with serving(ROUTES) as s:
        head = b"POST /api/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 11\r\n"
        answer = await s.raw(head + header + b'\r\n\r\n{"id": "a"}')
        status = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").split(b" ")[1]
        assert status[:1] in {b"2", b"4"}, answer
    for entry in s.audit.entries:
        msgspec.json.encode(entry)
