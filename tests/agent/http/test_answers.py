"""What a handler returns, as a client sees it."""

import msgspec
import pytest

from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Reply, Route
from horcrux.auth.permission import Scope
from horcrux.errors import Busy, Stale
from tests.support.http import serving


class Vm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    name: str = ""
    revision: int = 7


async def one(call: Call[Nothing, Nothing]) -> Vm:
    return Vm(id=call.path["id"])


async def encoded(_: Call[Nothing, Nothing]) -> Reply:
    return Reply(body=msgspec.Raw(b'[ {"id" : "vm-1"} ]'), revision=3)


async def create(call: Call[Vm, Nothing]) -> Reply:
    return Reply(body=call.body, headers={"Location": f"/api/vms/{call.body.id}"})


async def change(call: Call[Vm, Nothing]) -> dict[str, int | None]:
    if call.if_match is not None and call.if_match != 7:
        raise Stale("vm-1 has changed meanwhile", revision=7, current={"id": "vm-1"})
    return {"if_match": call.if_match}


async def delete(_: Call[Nothing, Nothing]) -> None:
    return None


async def busy(_: Call[Nothing, Nothing]) -> None:
    raise Busy("task t-1 works on vm-1", task="t-1")


async def broken(_: Call[Nothing, Nothing]) -> None:
    raise ZeroDivisionError("the secret is hunter2")


async def text(_: Call[Nothing, Nothing]) -> str:
    return "login:"


ROUTES: list[AnyRoute] = [
    Route("GET", "/api/vms/{id}", one, scope=Scope.VM_READ, summary="One", response=Vm),
    Route("GET", "/api/vms", encoded, scope=Scope.VM_READ, summary="All", response=list[Vm]),
    Route("POST", "/api/vms", create, scope=Scope.VM_WRITE, summary="New", body=Vm, status=201, audit="vm.create"),
    Route("PATCH", "/api/vms/{id}", change, scope=Scope.VM_WRITE, summary="Change", body=Vm, audit="vm.update"),
    Route("DELETE", "/api/vms/{id}", delete, scope=Scope.VM_WRITE, summary="Delete", status=204, audit="vm.delete"),
    Route("POST", "/api/vms/{id}/start", busy, scope=Scope.VM_POWER, summary="Start", audit="vm.start"),
    Route(
        "GET",
        "/api/vms/{id}/serial",
        text,
        scope=Scope.VM_READ,
        summary="Text",
        content_type="text/plain; charset=utf-8",
    ),
    Route("GET", "/api/broken", broken, scope=Scope.VM_READ, summary="Broken"),
    Route("GET", "/healthz", delete, scope=OPEN, summary="Up", limit=Limit.NONE),
]


async def test_a_struct_is_answered_as_json_with_its_revision_as_etag() -> None:
    async with serving(ROUTES) as s, s.client.get("/api/vms/vm-1", headers=s.as_("viewer")) as answer:
        assert answer.status == 200
        assert answer.headers["ETag"] == '"7"'
        assert answer.content_type == "application/json"
        assert await answer.json() == {"id": "vm-1", "name": "", "revision": 7}


async def test_encoded_json_passes_untouched() -> None:
    async with serving(ROUTES) as s, s.client.get("/api/vms", headers=s.as_("viewer")) as answer:
        assert await answer.read() == b'[ {"id" : "vm-1"} ]'


async def test_a_reader_who_has_this_revision_is_told_so_without_a_body() -> None:
    async with serving(ROUTES) as s:
        for tag in ('"3"', 'W/"3"', '"1", "3"', "*"):
            headers = {**s.as_("viewer"), "If-None-Match": tag}
            async with s.client.get("/api/vms", headers=headers) as answer:
                assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", '"3"')
        async with s.client.get("/api/vms", headers={**s.as_("viewer"), "If-None-Match": '"2"'}) as answer:
            assert answer.status == 200


async def test_head_answers_as_get_without_the_body() -> None:
    async with serving(ROUTES) as s, s.client.head("/api/vms", headers=s.as_("viewer")) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Length"] == "19"
        assert await answer.read() == b""


async def test_a_creation_has_its_status_and_location() -> None:
    async with serving(ROUTES) as s, s.client.post("/api/vms", json={"id": "vm-2"}, headers=s.as_("admin")) as answer:
        assert (answer.status, answer.headers["Location"]) == (201, "/api/vms/vm-2")


async def test_nothing_is_answered_with_an_empty_body() -> None:
    async with serving(ROUTES) as s:
        async with s.client.delete("/api/vms/vm-1", headers=s.as_("admin")) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        async with s.client.get("/healthz") as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_text_is_sent_as_its_route_says() -> None:
    async with serving(ROUTES) as s, s.client.get("/api/vms/a/serial", headers=s.as_("viewer")) as answer:
        assert (answer.content_type, await answer.text()) == ("text/plain", "login:")


async def test_the_revision_of_if_match_reaches_the_handler() -> None:
    async with serving(ROUTES) as s:
        for given, seen in (('"7"', 7), ("*", None), (None, None)):
            headers = s.as_("admin") if given is None else {**s.as_("admin"), "If-Match": given}
            async with s.client.patch("/api/vms/vm-1", json={"id": "a"}, headers=headers) as answer:
                assert (await answer.json())["if_match"] == seen


async def test_an_older_revision_is_412_with_the_document_as_it_is_now() -> None:
    async with serving(ROUTES) as s:
        headers = {**s.as_("admin"), "If-Match": '"6"'}
        async with s.client.patch("/api/vms/vm-1", json={"id": "a"}, headers=headers) as answer:
            assert (answer.status, answer.headers["ETag"]) == (412, '"7"')
            assert (await answer.json())["current"] == {"id": "vm-1"}


@pytest.mark.parametrize("tag", ["7", 'W/"7"', '"7", "8"', '"x"', '""', '"7"x', '"99999999999999999999"'])
async def test_an_if_match_that_is_no_etag_of_ours_is_400(tag: str) -> None:
    async with serving(ROUTES) as s:
        headers = {**s.as_("admin"), "If-Match": tag}
        async with s.client.patch("/api/vms/vm-1", json={"id": "a"}, headers=headers) as answer:
            assert answer.status == 400
            assert (await answer.json())["fields"][0]["field"] == "If-Match"


async def test_an_error_carries_its_code_and_details() -> None:
    async with serving(ROUTES) as s:
        headers = {**s.as_("operator"), "X-Request-Id": "my-request"}
        async with s.client.post("/api/vms/vm-1/start", headers=headers) as answer:
            assert answer.status == 409
            assert await answer.json() == {
                "error": "task t-1 works on vm-1",
                "code": "busy",
                "request_id": "my-request",
                "task": "t-1",
            }


async def test_a_fault_of_ours_tells_nothing_but_the_request_id_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(ROUTES) as s, s.client.get("/api/broken", headers=s.as_("viewer")) as answer:
        body = await answer.json()
        assert answer.status == 500
        assert body["request_id"] == answer.headers["X-Request-Id"]
        assert "hunter2" not in str(body)
    records = [r for r in caplog.records if r.levelname == "ERROR"]
    assert len(records) == 1
    assert body["request_id"] in records[0].getMessage()


async def test_a_connection_of_ours_that_breaks_is_a_fault_of_ours_not_the_clients() -> None:
    async def refused(_: Call[Nothing, Nothing]) -> None:
        raise ConnectionRefusedError("libvirt is not there")

    routes: list[AnyRoute] = [Route("GET", "/api/x", refused, scope=OPEN, summary="X")]
    async with serving(routes) as s, s.client.get("/api/x") as answer:
        assert answer.status == 500
        assert "libvirt" not in await answer.text()


async def test_a_sane_request_id_is_kept_and_another_is_replaced() -> None:
    async with serving(ROUTES) as s:
        for given, is_kept in (("abc-1.2:3", True), ("a b", False), ("x" * 65, False), ("<script>", False)):
            async with s.client.get("/healthz", headers={"X-Request-Id": given}) as answer:
                assert (answer.headers["X-Request-Id"] == given) is is_kept


async def test_every_answer_carries_the_security_headers() -> None:
    async with serving(ROUTES) as s:
        for path in ("/api/vms", "/api/nothing", "/healthz", "/", "/api/broken"):
            async with s.client.get(path, headers=s.as_("viewer")) as answer:
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert answer.headers["Server"] == "horcrux"
        async with s.client.get("/api/vms", headers=s.as_("viewer")) as answer:
            assert answer.headers["Cache-Control"] == "no-store"


async def test_a_wrong_method_is_405_with_those_there_are() -> None:
    async with serving(ROUTES) as s, s.client.put("/api/vms/vm-1", headers=s.as_("viewer")) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD, PATCH")
        assert (await answer.json())["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/api/nothing", {"error", "code", "request_id"}),
        ("/api/v1/nothing", {"detail", "code", "timestamp"}),
        ("/internal/nothing", {"error", "details"}),
    ],
)
async def test_an_unknown_path_is_404_in_the_words_of_its_document(path: str, members: set[str]) -> None:
    async with serving(ROUTES) as s, s.client.get(path) as answer:
        assert answer.status == 404
        assert set(await answer.json()) == members


async def test_literal_segments_win_over_parameters_in_whatever_order_they_stand() -> None:
    async def latest(_: Call[Nothing, Nothing]) -> str:
        return "latest"

    routes: list[AnyRoute] = [
        Route("GET", "/api/w/{ws}/backups/{id}", one, scope=OPEN, summary="One"),
        Route("GET", "/api/w/{ws}/backups/latest", latest, scope=OPEN, summary="Latest"),
    ]
    async with serving(routes) as s, s.client.get("/api/w/a/backups/latest") as answer:
        assert await answer.json() == "latest"
