"""The OpenAPI 3.1 document of a route table.

Everything in it comes from the rows: the types by msgspec, the words from docstrings and the notes below fields.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus

import msgspec

from agent.http.route import AnyRoute, Nothing
from agent.http.schemas import REF, Json, Schemas
from agent.task_view import TaskView
from horcrux.auth.permission import Scope


def openapi(routes: Sequence[AnyRoute], *, version: str, title: str = "Horcrux") -> Json:
    """The document, ready for JSON. Reads source files for the fields' notes: it blocks for some tens of milliseconds."""
    schemas = Schemas(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "summary": "One agent per host that runs virtual machines",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(tag_of(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "parameters": _PARAMETERS,
            "responses": _PROBLEMS,
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "From `POST /api/auth/login`, or an API token from `POST /api/auth/tokens`.",
                }
            },
        },
    }


_ABOUT = """\
Send `Authorization: Bearer <token>`. Bodies are JSON; a field that a call does not know is refused by name.
What takes long is a task: the call answers when it is over, or at once with 202 and its address when asked to
(`Prefer: respond-async`). Every document has an `ETag`; send it back as `If-Match` to change only what you have seen.
A POST with an `Idempotency-Key` can be repeated without harm for 24 hours."""

_PARAMETERS: Json = {
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async` answers 202 with the task at once; `respond-async, wait=10` after 10 s at the latest.",
        "schema": {"type": "string"},
        "example": "respond-async",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "A repeat with the same key gets the first answer, and nothing is done twice.",
        "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,200}$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag you have read; 412 with the current document when it has changed since.",
        "schema": {"type": "string", "pattern": '^("[0-9]{1,19}"|\\*)$'},
        "example": '"17"',
    },
}

_WORDS: Mapping[int, str] = {
    400: "What was sent cannot be right; the fields are named",
    401: "No token, or none that holds",
    403: "Known, but the token lacks this call's scope",
    404: "There is no such thing",
    409: "The state of things forbids it, or another task works on it and is named",
    412: "It has changed since the ETag in If-Match was read",
    413: "The body is too large",
    422: "The Idempotency-Key came with another request before",
    429: "Too many requests; Retry-After says when to go on",
}
_PROBLEM_CONTENT: Json = {"application/json": {"schema": {"$ref": REF + "Problem"}}}
_PROBLEMS: Json = {
    **{f"Error{status}": {"description": words, "content": _PROBLEM_CONTENT} for status, words in _WORDS.items()},
    "Error": {"description": "Any other error", "content": _PROBLEM_CONTENT},
}
_HEADERS: Json = {
    "ETag": {"description": "The revision, for If-Match and If-None-Match", "schema": {"type": "string"}},
    "Location": {"description": "Where to look for the task", "schema": {"type": "string"}},
    "Task": {"description": "Id of the task that did it", "schema": {"type": "string"}},
}


_ABOUT_ITSELF = frozenset({"version", "openapi.json", "docs"})


def tag_of(route: AnyRoute) -> str:
    """The segment that names the resource: `vms`; `agent` for what stands outside of the APIs."""
    parts = [part for part in route.path.split("/") if part]
    if parts[:2] == ["api", "v1"]:
        return parts[2]
    is_resource = parts[0] in {"api", "internal"} and len(parts) > 1 and parts[1] not in _ABOUT_ITSELF
    return parts[1] if is_resource else "agent"


def operation_id(route: AnyRoute) -> str:
    """`getVmsId`, `postVmsIdStart`"""
    words = re.findall(r"[A-Za-z0-9]+", route.path.removeprefix("/api"))
    return route.method.lower() + "".join(word[:1].upper() + word[1:] for word in words)


def problem_statuses(route: AnyRoute) -> list[int]:
    """The errors to expect of this call."""
    statuses = {400, 429}
    is_open = not isinstance(route.scope, Scope)
    if not is_open:
        statuses |= {401, 403}
    if "{" in route.path:
        statuses.add(404)
    if route.method != "GET":
        statuses |= {409, 413}
    if route.method in {"PUT", "PATCH", "DELETE"}:
        statuses.add(412)
    if takes_idempotency_key(route):
        statuses.add(422)
    return sorted(statuses)


def takes_idempotency_key(route: AnyRoute) -> bool:
    return route.method == "POST" and isinstance(route.scope, Scope) and not (route.stream_body or route.websocket)


def _operation(route: AnyRoute, schemas: Schemas) -> Json:
    operation: Json = {
        "operationId": operation_id(route),
        "tags": [tag_of(route)],
        "summary": route.summary,
        "x-scope": str(route.scope),
    }
    if route.description:
        operation["description"] = route.description
    if not isinstance(route.scope, Scope):
        operation["security"] = []
    parameters = [*_path_parameters(route), *schemas.query_parameters(route), *_header_parameters(route)]
    if parameters:
        operation["parameters"] = parameters
    if route.stream_body:
        content: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.body is not Nothing:
        schema = schemas.of(route.body)
        operation["requestBody"] = {
            "required": schemas.has_required(route.body),
            "content": {"application/json": {"schema": schema}},
        }
    operation["responses"] = _responses(route, schemas)
    return operation


def _path_parameters(route: AnyRoute) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)[^}]*}", route.path):
        schema: Json = {"type": "string", "minLength": 1, "maxLength": 255}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _header_parameters(route: AnyRoute) -> Iterator[Json]:
    if route.task:
        yield {"$ref": "#/components/parameters/Prefer"}
    if takes_idempotency_key(route):
        yield {"$ref": "#/components/parameters/IdempotencyKey"}
    if route.method in {"PUT", "PATCH", "DELETE"}:
        yield {"$ref": "#/components/parameters/IfMatch"}


def _responses(route: AnyRoute, schemas: Schemas) -> Json:
    if route.websocket:
        responses: Json = {"101": {"description": "The connection is a websocket from now on"}}
    else:
        responses = {str(route.status): _success(route, schemas)}
    if route.task:
        responses["202"] = {
            "description": "The task has begun (`Prefer: respond-async`)",
            "headers": {"Location": {"$ref": "#/components/headers/Location"}},
            "content": {"application/json": {"schema": schemas.of(TaskView)}},
        }
    if schemas.has_revision(route.response) and route.method == "GET":
        responses["304"] = {"description": "What If-None-Match names is still current"}
    for status in problem_statuses(route):
        responses[str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    responses["default"] = {"$ref": "#/components/responses/Error"}
    return responses


def _success(route: AnyRoute, schemas: Schemas) -> Json:
    response: Json = {"description": HTTPStatus(route.status).phrase}
    headers: Json = {}
    if schemas.has_revision(route.response):
        headers["ETag"] = {"$ref": "#/components/headers/ETag"}
    if route.task:
        headers["X-Horcrux-Task"] = {"$ref": "#/components/headers/Task"}
    if headers:
        response["headers"] = headers
    if route.response is not None and route.status != 204:
        is_json = route.content_type == "application/json"
        schema = schemas.of(route.response) if is_json else {"type": "string"}
        response["content"] = {route.content_type.partition(";")[0]: {"schema": schema}}
    return response


def document_bytes(routes: Sequence[AnyRoute], version: str) -> bytes:
    """The document as it is checked in: two spaces, sorted by nothing, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(openapi(routes, version=version)), indent=2) + b"\n"
