"""The five error bodies. Handlers raise; which words a client reads is decided here, by the route's dialect.

HORCRUX   {"error", "code", "request_id", ...details}
XVAULT    {"error", "details"}                          both strings
DB        {"detail", "code", "timestamp"}; wrong fields are 422 {"detail": [{"loc", "msg", "type"}]}
HEXABASE  {"error": {"code", "message", "details"}}
PX        {"error", "message", "details"?}
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import assert_never

import msgspec

from agent.http.defects import BadFields, Defect, Kind
from agent.http.route import Dialect
from horcrux.errors import FieldProblem, HorcruxError, InvalidFields, status_of

INTERNAL_SENTENCE = "this is a fault of ours; the agent's log tells more under the request id"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error as it is told to a client; `fields` and `defects` only for a request with wrong fields."""

    status: int
    code: str
    message: str
    request_id: str = ""
    at: float = 0.0
    details: Mapping[str, object] = msgspec.field(default_factory=dict)
    fields: tuple[FieldProblem, ...] = ()
    defects: tuple[Defect, ...] = ()
    where: str = "body"


def problem_of(error: HorcruxError, *, request_id: str, at: float) -> Problem:
    return Problem(
        status=status_of(error),
        code=error.code,
        message=str(error),
        request_id=request_id,
        at=at,
        details=error.details,
        fields=error.problems if isinstance(error, InvalidFields) else (),
        defects=error.defects if isinstance(error, BadFields) else (),
        where=error.where if isinstance(error, BadFields) else "body",
    )


def render_problem(dialect: Dialect, problem: Problem) -> tuple[int, bytes]:
    """Status and JSON body of `problem` in `dialect`."""
    status = problem.status
    body: dict[str, object]
    match dialect:
        case Dialect.HORCRUX:
            body = _horcrux(problem)
        case Dialect.XVAULT:
            body = {"error": problem.message, "details": _as_text(problem)}
        case Dialect.DB:
            status, body = _db(problem)
        case Dialect.HEXABASE:
            body = {"error": _hexabase(problem)}
        case Dialect.PX:
            body = {"error": _reason(problem.status), "message": problem.message}
            if problem.details:
                body["details"] = dict(problem.details)
        case _:
            assert_never(dialect)
    try:
        return status, msgspec.json.encode(body, enc_hook=str)
    except UnicodeEncodeError:  # a sentence that quotes bytes of a client which are no UTF-8
        return status, json.dumps(body, default=str).encode()


def _horcrux(problem: Problem) -> dict[str, object]:
    own = {"error": problem.message, "code": problem.code, "request_id": problem.request_id}
    return {**own, **{name: value for name, value in problem.details.items() if name not in own}}


def _as_text(problem: Problem) -> str:
    if problem.fields:
        return "; ".join(f"{p.field}: {p.message}" for p in problem.fields)
    return "; ".join(f"{name}: {value}" for name, value in problem.details.items())


def _db(problem: Problem) -> tuple[int, dict[str, object]]:
    if problem.fields:
        items = [_db_item(d, problem.where) for d in problem.defects] or [
            {"loc": ["body", *p.field.split(".")], "msg": p.message, "type": "value_error"} for p in problem.fields
        ]
        return HTTPStatus.UNPROCESSABLE_ENTITY, {"detail": items}
    at = datetime.fromtimestamp(problem.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return problem.status, {"detail": problem.message, "code": problem.code.upper(), "timestamp": at}


_DB_TYPE: Mapping[str, tuple[str, str]] = {
    "int": ("value is not a valid integer", "type_error.integer"),
    "float": ("value is not a valid float", "type_error.float"),
    "str": ("str type expected", "type_error.str"),
    "bool": ("value could not be parsed to a boolean", "type_error.bool"),
    "array": ("value is not a valid list", "type_error.list"),
    "object": ("value is not a valid dict", "type_error.dict"),
}


def _db_item(defect: Defect, where: str) -> dict[str, object]:
    loc = [where, *defect.path]
    match defect.kind:
        case Kind.MISSING:
            return {"loc": loc, "msg": "field required", "type": "value_error.missing"}
        case Kind.UNKNOWN:
            return {"loc": loc, "msg": "extra fields not permitted", "type": "value_error.extra"}
        case Kind.TYPE:
            wanted = defect.expected.removesuffix(" | null")
            message, type_ = _DB_TYPE.get(wanted, (defect.message, "type_error"))
            return {"loc": loc, "msg": message, "type": type_}
        case Kind.VALUE:
            return {"loc": loc, "msg": defect.message, "type": "value_error"}
        case _:
            assert_never(defect.kind)


def _hexabase(problem: Problem) -> dict[str, object]:
    fields = {p.field: p.message for p in problem.fields}
    return {"code": problem.code.upper(), "message": problem.message, "details": fields or dict(problem.details)}


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Canceled"  # 499 is ours, not the registry's


def dialect_of_path(path: str) -> Dialect:
    """Which dialect tells that there is no such call (contract notes, section 13)."""
    if path.startswith("/api/v1/") or path == "/api/v1":
        return Dialect.DB
    if path.startswith("/internal/") or path == "/internal":
        return Dialect.XVAULT
    return Dialect.HORCRUX
