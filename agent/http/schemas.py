"""JSON schemas of everything a route table takes and gives, with the words of the source beside them."""

import inspect as python
import re
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec
from msgspec import inspect

from agent.http.field_notes import field_notes
from agent.http.route import AnyRoute, Nothing
from agent.task_view import TaskView
from horcrux.errors import FieldProblem

Json = dict[str, object]
REF = "#/components/schemas/"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Every error. More members follow by `code`: the ids and numbers a program may act on."""

    error: str
    """A sentence for people: what is wrong, with the ids in it, and the next step."""
    code: str
    """A word for programs; it never changes."""
    request_id: str
    """Of the request, for the agent's log and audit."""
    fields: tuple[FieldProblem, ...] = ()
    """With code `invalid_fields`: one entry for each thing wrong with a field."""
    task: str | None = None
    """With code `busy`, or when the call was a task: its id."""


class Schemas:
    """Schemas of all types in the table, with the notes of their fields."""

    def __init__(self, routes: Sequence[AnyRoute]) -> None:
        self._types: list[object] = [Problem, TaskView]
        for route in routes:
            for type_ in (route.body, route.query, route.response):
                if type_ is not None and type_ is not Nothing and type_ not in self._types:
                    self._types.append(type_)
        found, components = msgspec.json.schema_components(
            cast("list[type]", self._types), schema_hook=_anything, ref_template=REF + "{name}"
        )
        self._found: list[Json] = list(found)
        self.components: dict[str, Json] = components
        self._describe()
        self._close(routes)
        self._queries = self._take_out_queries(routes)

    def of(self, type_: object) -> Json:
        return self._found[self._types.index(type_)]

    def query_parameters(self, route: AnyRoute) -> list[Json]:
        if route.query is Nothing:
            return []
        schema = self._queries[self._types.index(route.query)]
        required = cast("list[str]", schema.get("required", []))
        parameters: list[Json] = []
        for name, property_ in cast("dict[str, Json]", schema.get("properties", {})).items():
            parameter: Json = {"name": name, "in": "query", "required": name in required}
            if "description" in property_:
                parameter["description"] = property_["description"]
            parameter["schema"] = _without_null(property_)
            parameters.append(parameter)
        return parameters

    def has_required(self, type_: type[msgspec.Struct]) -> bool:
        return any(field.required for field in msgspec.structs.fields(type_))

    def has_revision(self, type_: object) -> bool:
        is_struct = isinstance(type_, type) and issubclass(type_, msgspec.Struct)
        return is_struct and "revision" in cast("type[msgspec.Struct]", type_).__struct_fields__

    def _describe(self) -> None:
        """Docstrings and notes become descriptions."""
        for cls in {struct.cls for type_ in self._types for struct in _structs(inspect.type_info(type_))}:
            schema = self._component(cls)
            if schema is None:
                continue
            doc = cls.__doc__ if "__doc__" in vars(cls) else None
            if doc and not doc.startswith(f"{cls.__name__}("):
                schema["description"] = _words(doc)
            notes = field_notes(cls)
            properties = cast("dict[str, Json]", schema.get("properties", {}))
            for field in msgspec.structs.fields(cls):
                note = notes.get(field.name)
                if note and field.encode_name in properties:
                    properties[field.encode_name]["description"] = _words(note)

    def _close(self, routes: Sequence[AnyRoute]) -> None:
        """Bodies take no field they do not know, whatever their struct says."""
        for body in {route.body for route in routes if route.body is not Nothing}:
            for struct in _structs(inspect.type_info(body)):
                schema = self._component(struct.cls)
                if schema is not None:
                    schema["additionalProperties"] = False

    def _component(self, cls: type) -> Json | None:
        """The schema of a struct: by its own name, or the full one where two share a name."""
        _, components = msgspec.json.schema_components([cls], schema_hook=_anything, ref_template=REF + "{name}")
        full = re.sub(r"[^a-zA-Z0-9.\-_]", "_", f"{cls.__module__}.{cls.__qualname__}")
        name = cls.__name__ if cls.__name__ in components else full
        return self.components.get(name) or self.components.get(full)

    def _take_out_queries(self, routes: Sequence[AnyRoute]) -> dict[int, Json]:
        """Queries are parameters, not components."""
        taken: dict[int, Json] = {}
        for query in {route.query for route in routes if route.query is not Nothing}:
            index = self._types.index(query)
            name = str(self._found[index]["$ref"]).removeprefix(REF)
            taken[index] = self.components.pop(name)
        return taken


def _without_null(schema: Json) -> Json:
    """A query has no null: what may be null may be left out."""
    plain = {key: value for key, value in schema.items() if key != "description" and (key, value) != ("default", None)}
    choices = [choice for choice in cast("list[Json]", plain.get("anyOf", [])) if choice.get("type") != "null"]
    if len(choices) == 1:
        del plain["anyOf"]
        plain |= choices[0]
    return plain


def _words(text: str) -> str:
    """Words of a Python source for people who write JSON."""
    return re.sub(r"\bNone\b", "null", python.cleandoc(text))


def _anything(_: type) -> Json:
    """`object` in our types is any JSON value."""
    return {"description": "Any JSON value."}


def _structs(shape: inspect.Type, seen: frozenset[type] = frozenset()) -> Iterator[inspect.StructType]:
    """Every struct that a type is made of."""
    match shape:
        case inspect.StructType():
            if shape.cls in seen:
                return
            yield shape
            for field in shape.fields:
                yield from _structs(field.type, seen | {shape.cls})
        case inspect.UnionType():
            for member in shape.types:
                yield from _structs(member, seen)
        case inspect.TupleType():
            for member in shape.item_types:
                yield from _structs(member, seen)
        case inspect.DictType():
            yield from _structs(shape.value_type, seen)
        case inspect.CollectionType():
            yield from _structs(shape.item_type, seen)
        case _:
            return
