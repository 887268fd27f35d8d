"""The readable page of the API: one file of HTML without a script, a font or a picture from elsewhere."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import cast

from agent.http.docs_style import STYLE
from agent.http.examples import Examples
from agent.http.openapi import operation_id, problem_statuses, tag_of, takes_idempotency_key
from agent.http.route import AnyRoute, Limit
from agent.http.schemas import REF, Json
from horcrux.auth.permission import Scope

_TITLES: Mapping[str, str] = {
    "vms": "Virtual machines",
    "auth": "Signing in, users and tokens",
    "storage": "Storage",
    "tasks": "Tasks",
    "events": "Events",
    "console": "Consoles",
    "host": "Host",
    "agent": "The agent itself",
    "backups": "Backups",
    "sdn": "Networks",
}
_LIMITS: Mapping[Limit, str] = {
    Limit.DEFAULT: "1000 an hour for a token",
    Limit.BACKUP: "100 a minute for a token",
    Limit.LOGIN: "10 a minute for an address",
    Limit.NONE: "not limited",
}
_SHORT: Mapping[int, str] = {
    400: "invalid", 401: "not signed in", 403: "not allowed", 404: "not found", 409: "conflict or busy",
    412: "changed meanwhile", 413: "too large", 422: "key reused", 429: "too many",
}  # fmt: skip


class DocsPage:
    """Renders a document that `openapi` made of the same routes."""

    def __init__(self, routes: Sequence[AnyRoute], document: Json) -> None:
        self._document = document
        self._components = cast("dict[str, Json]", cast("Json", document["components"])["schemas"])
        self._examples = Examples(self._components)
        # What has a list of its own comes first; the order inside a group is the table's.
        order = list(dict.fromkeys(tag_of(route) for route in routes))
        self._groups = [
            (tag, list(group))
            for tag, group in groupby(sorted(routes, key=lambda r: order.index(tag_of(r))), key=tag_of)
        ]

    def html(self) -> str:
        info = cast("Json", self._document["info"])
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Horcrux API</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<style>{STYLE}</style></head><body><a class="skip" href="#calls">To the calls</a>'
            f"<nav aria-label='Resources'><p class=brand>Horcrux <span>API {escape(str(info['version']))}</span></p>"
            f"{''.join(self._links())}</nav><main><header><h1>Horcrux API</h1>{self._intro()}</header>"
            f"<div id=calls>{''.join(self._sections())}</div></main></body></html>"
        )

    def _intro(self) -> str:
        return (
            "<p class=lead>Every call works with a token: sign in, or make an API token with the rights it needs. "
            "The same description for programs is <a href='/api/openapi.json'>OpenAPI 3.1</a>.</p>"
            "<pre><code>TOKEN=$(curl -s localhost:8006/api/auth/login -H 'Content-Type: application/json' \\\n"
            '  -d \'{"username": "admin", "password": "…"}\' | jq -r .token)\n'
            'curl -H "Authorization: Bearer $TOKEN" localhost:8006/api/vms</code></pre>'
            "<ul class=rules><li><b>Bodies</b> are JSON. A field that a call does not know is refused by name.</li>"
            "<li><b>Long work</b> is a task. The call answers when it is over; with <code>Prefer: respond-async</code> it "
            "answers 202 at once, and <code>Location</code> says where the task is.</li>"
            "<li><b>Lost updates</b>: send the <code>ETag</code> you read as <code>If-Match</code>; 412 brings the current "
            "document.</li><li><b>Repeats</b>: a POST with an <code>Idempotency-Key</code> is done once in 24 hours.</li>"
            "<li><b>Errors</b> are <code>{error, code, request_id}</code> and what belongs to the code.</li></ul>"
        )

    def _links(self) -> Iterator[str]:
        for tag, routes in self._groups:
            yield f"<a href='#{escape(tag)}'>{escape(_title(tag))}<span>{len(routes)}</span></a>"

    def _sections(self) -> Iterator[str]:
        for tag, routes in self._groups:
            calls = "".join(self._call(route) for route in routes)
            yield f"<section id='{escape(tag)}'><h2>{escape(_title(tag))}</h2>{calls}</section>"

    def _call(self, route: AnyRoute) -> str:
        operation = cast("Json", cast("dict[str, Json]", self._document["paths"])[route.path][route.method.lower()])
        path = escape(route.path).replace("{", "<i>{").replace("}", "}</i>")
        scope = str(route.scope) if isinstance(route.scope, Scope) else "no token"
        return (
            f"<details id='{operation_id(route)}'><summary><b class='m {route.method}'>{route.method}</b>"
            f"<code class=path>{path}</code><span class=what>{escape(route.summary)}</span>"
            f"<span class=scope>{escape(scope)}</span></summary><div class=body>"
            + (f"<p>{_prose(route.description)}</p>" if route.description else "")
            + self._parameters(operation)
            + self._body(operation)
            + self._example(route, operation)
            + self._outcome(route, operation)
            + "</div></details>"
        )

    def _parameters(self, operation: Json) -> str:
        rows: list[str] = []
        for parameter in cast("list[Json]", operation.get("parameters", [])):
            if parameter.get("in") != "query":
                continue
            rows.append(self._row(parameter, cast("Json", parameter["schema"]), bool(parameter["required"])))
        return _table("Query", rows)

    def _row(self, named: Json, schema: Json, is_required: bool, indent: int = 0) -> str:
        note = _prose(str(named.get("description", schema.get("description", ""))))
        default = schema.get("default")
        if not is_required and default is not None and default not in ([], (), {}, ""):
            note += f" <span class=default>default <code>{escape(json.dumps(default))}</code></span>"
        mark = "<em>required</em>" if is_required else ""
        return (
            f"<tr><td class=d{indent}><code>{escape(str(named['name']))}</code>{mark}</td>"
            f"<td>{escape(self._type(schema))}</td><td>{note}</td></tr>"
        )

    def _body(self, operation: Json) -> str:
        body = cast("Json", operation.get("requestBody", {}))
        content = cast("dict[str, Json]", body.get("content", {}))
        if "application/octet-stream" in content:
            return "<h4>Body</h4><p>The file itself, streamed.</p>"
        if "application/json" not in content:
            return ""
        schema = cast("Json", content["application/json"]["schema"])
        about = _prose(str(self._resolve(schema).get("description", "")))
        return (f"<p>{about}</p>" if about else "") + _table("Body", list(self._rows(schema, 0)))

    def _rows(self, schema: Json, indent: int) -> Iterator[str]:
        resolved = self._resolve(schema)
        required = cast("list[str]", resolved.get("required", []))
        for name, property_ in cast("dict[str, Json]", resolved.get("properties", {})).items():
            yield self._row({"name": name, **property_}, property_, name in required, indent)
            inner = self._inner(property_)
            if inner is not None and indent < 2:
                yield from self._rows(inner, indent + 1)

    def _inner(self, schema: Json) -> Json | None:
        """The object behind a field, a list of objects, or an object that may be null."""
        resolved = self._resolve(schema)
        if "properties" in resolved:
            return resolved
        if resolved.get("type") == "array":
            return self._inner(cast("Json", resolved.get("items") or {}))
        choices = [c for c in cast("list[Json]", resolved.get("anyOf", [])) if c.get("type") != "null"]
        return self._inner(choices[0]) if len(choices) == 1 else None

    def _resolve(self, schema: Json) -> Json:
        return self._components[str(schema["$ref"]).removeprefix(REF)] if "$ref" in schema else schema

    def _type(self, schema: Json) -> str:
        resolved = self._resolve(schema)
        if "enum" in resolved:
            return " | ".join(str(value) for value in cast("list[object]", resolved["enum"]))
        if "anyOf" in resolved:
            return " or ".join(self._type(choice) for choice in cast("list[Json]", resolved["anyOf"]))
        match resolved.get("type"):
            case "array":
                items = cast("Json", resolved.get("items") or {})
                return f"list of {self._type(items)}" if items else "list"
            case None:
                return "anything"
            case other:
                return str(other)

    def _example(self, route: AnyRoute, operation: Json) -> str:
        lines = [f"curl -X {route.method} localhost:8006{_sample(route.path)}"]
        if isinstance(route.scope, Scope):
            lines.append('  -H "Authorization: Bearer $TOKEN"')
        content = cast("dict[str, Json]", cast("Json", operation.get("requestBody", {})).get("content", {}))
        if "application/octet-stream" in content:
            lines.append("  --data-binary @debian-12.qcow2")
        elif "application/json" in content:
            lines.append("  -H 'Content-Type: application/json'")
            wanted = self._examples.request(cast("Json", content["application/json"]["schema"]))
            lines.append("  -d '" + json.dumps(wanted, ensure_ascii=False, indent=2).replace("\n", "\n      ") + "'")
        text = " \\\n".join(lines)
        return f"<h4>Example</h4><pre><code>{escape(text)}</code></pre>{self._answer(route, operation)}"

    def _answer(self, route: AnyRoute, operation: Json) -> str:
        responses = cast("dict[str, Json]", operation["responses"])
        success = responses.get(str(route.status), {})
        content = cast("dict[str, Json]", success.get("content", {}))
        if not content:
            return f"<p class=status><b>{route.status}</b> without a body</p>"
        kind, media = next(iter(content.items()))
        if kind != "application/json":
            return f"<p class=status><b>{route.status}</b> {escape(kind)}</p>"
        example = json.dumps(self._examples.of(cast("Json", media["schema"])), ensure_ascii=False, indent=2)
        return f"<p class=status><b>{route.status}</b></p><pre><code>{escape(example)}</code></pre>"

    def _outcome(self, route: AnyRoute, operation: Json) -> str:
        errors = "".join(
            f"<li><b>{status}</b> {escape(_SHORT.get(status, ''))}</li>" for status in problem_statuses(route)
        )
        facts = [f"limit: {_LIMITS[route.limit]}"]
        if route.task:
            facts.append("is a task")
        if takes_idempotency_key(route):
            facts.append("can be repeated with an Idempotency-Key")
        if route.audit:
            facts.append(f"audited as {route.audit}")
        return f"<h4>Errors</h4><ul class=errors>{errors}</ul><p class=facts>{escape(' · '.join(facts))}</p>"


def _title(tag: str) -> str:
    return _TITLES.get(tag, tag.replace("-", " ").replace("_", " ").capitalize())


def _sample(path: str) -> str:
    return (
        path.replace("{pool_id}", "local")
        .replace("{name}", "web-server")
        .replace("{id}", "vm-100")
        .replace("{vm_id}", "vm-100")
    )


def _prose(text: str) -> str:
    """Text with `code` in it."""
    parts = escape(" ".join(text.split())).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _table(title: str, rows: Sequence[str]) -> str:
    if not rows:
        return ""
    return f"<h4>{title}</h4><div class=wide><table><tbody>{''.join(rows)}</tbody></table></div>"
