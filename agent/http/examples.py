"""Examples made from schemas, with values that a reader of our documents knows."""

from collections.abc import Mapping
from typing import Final, cast

from agent.http.schemas import REF, Json

_KNOWN: Final[Mapping[str, object]] = {
    "id": "vm-100",
    "vm_id": "vm-100",
    "name": "web-server",
    "username": "admin",
    "user": "admin",
    "owner": "admin",
    "password": "correct horse battery staple",
    "node": "node1",
    "target": "vm/vm-100",
    "action": "vm.start",
    "cpu_cores": 4,
    "memory_mb": 8192,
    "size_gb": 100,
    "storage_pool": "local",
    "architecture": "x86_64",
    "image": "debian-12.qcow2",
    "created_at": 1767225600,
    "started_at": 1767225600,
    "finished_at": 1767225645,
    "expires": 1767268800,
    "expires_at": 1767268800,
    "progress": 1.0,
    "error": "task 01JH… works on vm-100 (vm.stop); wait for it or cancel it",
    "request_id": "9f1c2b7a60d3e845",
    "mac": "52:54:00:12:34:56",
    "url": "https://example.org/debian-12.qcow2",
    "limit": 100,
    "revision": 17,
    "tags": ["web"],
    "timeout_s": 60,
}
DEEPEST = 6


class Examples:
    def __init__(self, components: Mapping[str, Json]) -> None:
        self._components = components

    def of(self, schema: Json, name: str = "", depth: int = 0) -> object:
        """A value that fits `schema`; `name` is the field it is for."""
        if "$ref" in schema:
            return self.of(self._components[str(schema["$ref"]).removeprefix(REF)], name, depth)
        if depth > DEEPEST:
            return None
        if "enum" in schema:
            choices = cast("list[object]", schema["enum"])
            known = _KNOWN.get(name)
            return known if known in choices else schema.get("default", choices[0])
        if "const" in schema:
            return schema["const"]
        for choice in cast("list[Json]", schema.get("anyOf", [])):
            if choice.get("type") != "null":
                return self.of(
                    {**choice, **{k: v for k, v in schema.items() if k == "default" and v is not None}}, name, depth
                )
        return self._plain(schema, name, depth)

    def _plain(self, schema: Json, name: str, depth: int) -> object:
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                if isinstance(_KNOWN.get(name), list):
                    return _KNOWN[name]
                items = cast("Json", schema.get("items") or {})
                return [self.of(items, name.removesuffix("s"), depth + 1)] if items else []
            case "string":
                known = _KNOWN.get(name, schema.get("default", "text"))
                return known if isinstance(known, str) else "text"
            case "integer":
                known = _KNOWN.get(name, schema.get("default", 1))
                return known if isinstance(known, int) else 1
            case "number":
                known = _KNOWN.get(name, schema.get("default", 1.5))
                return known if isinstance(known, int | float) else 1.5
            case "boolean":
                return bool(schema.get("default", True))
            case _:
                return None

    def _object(self, schema: Json, depth: int) -> Json:
        properties = cast("dict[str, Json]", schema.get("properties", {}))
        if properties:
            return {name: self.of(property_, name, depth + 1) for name, property_ in properties.items()}
        rest = schema.get("additionalProperties")
        return {"start": self.of(cast("Json", rest), "start", depth + 1)} if isinstance(rest, dict) else {}

    def request(self, schema: Json) -> object:
        """As `of`, with the required fields and the first few others: what a first try looks like."""
        resolved = self._components[str(schema["$ref"]).removeprefix(REF)] if "$ref" in schema else schema
        whole = self.of(schema)
        if not isinstance(whole, dict):
            return whole
        required = cast("list[str]", resolved.get("required", []))
        wanted = required or list(whole)[:3]
        extra = [name for name in whole if name in _KNOWN and name not in wanted][:4]
        return {name: value for name, value in whole.items() if name in wanted or name in extra}
