"""The five error bodies, word for word."""

import json

import msgspec
import pytest

from agent.http.decode import BodyDecoder
from agent.http.defects import BadFields
from agent.http.dialects import Problem, dialect_of_path, problem_of, render_problem
from agent.http.route import Dialect
from horcrux.errors import Busy, HorcruxError, Invalid, NotFound, invalid_field

AT = 1_705_314_600.0
"""2024-01-15T10:30:00Z, as the DB document's example."""


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    server_id: int
    name: str
    enabled: bool = True
    retention: float = 1.0
    tables: tuple[str, ...] = ()


def told(dialect: Dialect, error: HorcruxError) -> tuple[int, object]:
    status, body = render_problem(dialect, problem_of(error, request_id="r-1", at=AT))
    return status, json.loads(body)


def bad_fields(body: bytes) -> BadFields:
    with pytest.raises(BadFields) as caught:
        BodyDecoder(Schedule).decode(body)
    return caught.value


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (
            Dialect.HORCRUX,
            {"error": "task t-1 works on it", "code": "busy", "request_id": "r-1", "task": "t-1"},
        ),
        (Dialect.XVAULT, {"error": "task t-1 works on it", "details": "task: t-1"}),
        (Dialect.DB, {"detail": "task t-1 works on it", "code": "BUSY", "timestamp": "2024-01-15T10:30:00Z"}),
        (Dialect.HEXABASE, {"error": {"code": "BUSY", "message": "task t-1 works on it", "details": {"task": "t-1"}}}),
        (Dialect.PX, {"error": "Conflict", "message": "task t-1 works on it", "details": {"task": "t-1"}}),
    ],
)
def test_a_conflict_in_each_dialect(dialect: Dialect, body: object) -> None:
    assert told(dialect, Busy("task t-1 works on it", task="t-1")) == (409, body)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (Dialect.XVAULT, {"error": "no job is waiting", "details": ""}),
        (Dialect.PX, {"error": "Not Found", "message": "no job is waiting"}),
        (Dialect.HEXABASE, {"error": {"code": "NOT_FOUND", "message": "no job is waiting", "details": {}}}),
    ],
)
def test_an_error_without_details(dialect: Dialect, body: object) -> None:
    assert told(dialect, NotFound("no job is waiting")) == (404, body)


def test_a_wrong_field_is_named_in_each_dialect_by_its_own_means() -> None:
    error = invalid_field("bucket", "holds a space")
    assert told(Dialect.XVAULT, error) == (400, {"error": "bucket: holds a space", "details": "bucket: holds a space"})
    assert told(Dialect.HEXABASE, error) == (
        400,
        {
            "error": {
                "code": "INVALID_FIELDS",
                "message": "bucket: holds a space",
                "details": {"bucket": "holds a space"},
            }
        },
    )
    assert told(Dialect.DB, error) == (
        422,
        {"detail": [{"loc": ["body", "bucket"], "msg": "holds a space", "type": "value_error"}]},
    )


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (
            b'{"name": "a"}',
            [{"loc": ["body", "server_id"], "msg": "field required", "type": "value_error.missing"}],
        ),
        (
            b"{}",
            [
                {"loc": ["body", "server_id"], "msg": "field required", "type": "value_error.missing"},
                {"loc": ["body", "name"], "msg": "field required", "type": "value_error.missing"},
            ],
        ),
        (
            b'{"server_id": "x", "name": "a"}',
            [{"loc": ["body", "server_id"], "msg": "value is not a valid integer", "type": "type_error.integer"}],
        ),
        (
            b'{"server_id": 1, "name": 2}',
            [{"loc": ["body", "name"], "msg": "str type expected", "type": "type_error.str"}],
        ),
        (
            b'{"server_id": 1, "name": "a", "enabled": "x"}',
            [{"loc": ["body", "enabled"], "msg": "value could not be parsed to a boolean", "type": "type_error.bool"}],
        ),
        (
            b'{"server_id": 1, "name": "a", "tables": ["x", 2]}',
            [{"loc": ["body", "tables", 1], "msg": "str type expected", "type": "type_error.str"}],
        ),
        (
            b'{"server_id": 1, "name": "a", "nmae": 2}',
            [{"loc": ["body", "nmae"], "msg": "extra fields not permitted", "type": "value_error.extra"}],
        ),
        (
            b'{"server_id": "x", "nmae": 2}',
            [
                {"loc": ["body", "server_id"], "msg": "value is not a valid integer", "type": "type_error.integer"},
                {"loc": ["body", "name"], "msg": "field required", "type": "value_error.missing"},
                {"loc": ["body", "nmae"], "msg": "extra fields not permitted", "type": "value_error.extra"},
            ],
        ),
    ],
)
def test_the_db_document_lists_each_wrong_field_in_its_exact_words(body: bytes, items: object) -> None:
    assert told(Dialect.DB, bad_fields(body)) == (422, {"detail": items})


def test_a_body_that_is_no_json_is_400_in_the_db_dialect_too() -> None:
    status, body = told(Dialect.DB, Invalid("the body is not JSON"))
    assert status == 400
    assert body == {"detail": "the body is not JSON", "code": "INVALID", "timestamp": "2024-01-15T10:30:00Z"}


def test_details_never_cover_a_documented_member_and_never_fail_to_encode() -> None:
    error = NotFound("gone", error="covered?", code="covered?", odd={1, 2}, kind=Schedule)
    status, body = told(Dialect.HORCRUX, error)
    assert status == 404
    assert isinstance(body, dict)
    assert (body["error"], body["code"]) == ("gone", "not_found")


def test_a_sentence_that_quotes_what_is_no_text_is_told_all_the_same() -> None:
    status, body = told(Dialect.HORCRUX, NotFound("there is no \udcff"))
    assert status == 404
    assert isinstance(body, dict)
    assert body["error"] == "there is no \udcff"


def test_a_status_that_no_registry_knows_has_a_reason_all_the_same() -> None:
    status, body = render_problem(Dialect.PX, Problem(status=499, code="canceled", message="stopped"))
    assert (status, json.loads(body)["error"]) == (499, "Canceled")


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/api/v1/servers", Dialect.DB),
        ("/api/v1", Dialect.DB),
        ("/api/v10", Dialect.HORCRUX),
        ("/api/vms", Dialect.HORCRUX),
        ("/internal/jobs", Dialect.XVAULT),
        ("/metrics", Dialect.HORCRUX),
    ],
)
def test_an_unknown_path_speaks_the_dialect_of_its_neighbours(path: str, dialect: Dialect) -> None:
    assert dialect_of_path(path) is dialect
