"""What is wrong with a request's fields, in our words.

msgspec tells the first error only and puts its place into the text (``Expected `int`, got `str` - at `$.disks[0].size_gb` ``).
Here the text becomes a path and a sentence, and all missing and unknown fields are found by walking the type beside the value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec
from msgspec import inspect

from horcrux.errors import FieldProblem, InvalidFields

MAX_NUMBER = 2**53
"""Beyond it a double no longer tells neighbours apart (RFC 8259 section 6), and neither does a browser."""

Step = str | int
Path = tuple[Step, ...]


class Kind(StrEnum):
    MISSING = "missing"
    UNKNOWN = "unknown"
    TYPE = "type"
    VALUE = "value"


class Defect(NamedTuple):
    """`expected` is msgspec's name of the wanted type (`int`, `str | null`) when `kind` is TYPE."""

    path: Path
    kind: Kind
    message: str
    expected: str = ""


class BadFields(InvalidFields):
    """A request whose fields are wrong; the DB dialect makes its own list from `defects`."""

    def __init__(self, defects: Sequence[Defect], where: str = "body") -> None:
        super().__init__([FieldProblem(dotted(d.path) or where, d.message) for d in defects])
        self.defects = tuple(defects)
        self.where = where


def dotted(path: Path) -> str:
    """`disks[0].size_gb`"""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


_PLACE = re.compile(r"^(?P<text>.*?)(?: - at (?P<key>`key` in )?`(?P<path>[^`]*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\.\.\.\]")
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`$")
_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL)
_ENUM = re.compile(r"Invalid enum value (?P<got>.*)$", re.DOTALL)
_WORDS: Mapping[str, str] = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_GOT: Mapping[str, str] = {**_WORDS, "float": "a number with a fraction", "int": "a number", "bool": "a boolean"}


def translate(error: msgspec.ValidationError, shape: inspect.Type) -> Defect:
    """The defect that msgspec's text tells of; `shape` supplies the words an enumeration allows."""
    match = _PLACE.match(str(error))
    text, path_text = (match["text"], match["path"] or "$") if match else (str(error), "$")
    path = _steps(path_text)
    if field := _FIELD.match(text):
        kind = Kind.MISSING if "missing" in text else Kind.UNKNOWN
        return _absent((*path, field["name"])) if kind is Kind.MISSING else _unknown((*path, field["name"]))
    if types := _EXPECTED.match(text):
        wanted = types["wanted"]
        words = " or ".join(_WORDS.get(name, name) for name in wanted.split(" | "))
        got = _GOT.get(types["got"], types["got"])
        if wanted.startswith("float") and types["got"] == "int":
            got = "a whole number"
        return Defect(path, Kind.TYPE, f"expected {words}, got {got}", wanted)
    if enum := _ENUM.match(text):
        allowed = ", ".join(_allowed(shape, path)) or "another value"
        return Defect(path, Kind.VALUE, f"expected one of {allowed}; got {enum['got'][:80]}")
    return Defect(path, Kind.VALUE, _sentence(text))


def _sentence(text: str) -> str:
    for name, words in _WORDS.items():
        text = text.replace(f"`{name}`", words)
    return text[:1].lower() + text[1:]


def _steps(path: str) -> Path:
    steps: list[Step] = []
    for match in _STEP.finditer(path):
        name, index = match.groups()
        steps.append(name if name is not None else int(index) if index is not None else "*")
    return tuple(steps)


def _absent(path: Path) -> Defect:
    return Defect(path, Kind.MISSING, "is missing")


def _unknown(path: Path) -> Defect:
    return Defect(path, Kind.UNKNOWN, "is not a field of this call")


def _allowed(shape: inspect.Type, path: Path) -> list[str]:
    """What an enumeration at `path` may be."""
    for step in path:
        found = _below(shape, step)
        if found is None:
            return []
        shape = found
    words: list[str] = []
    for member in _members(shape):
        if isinstance(member, inspect.EnumType):
            words += [str(item.value) for item in member.cls]
        elif isinstance(member, inspect.LiteralType):
            words += [str(value) for value in member.values]
    return words


def _members(shape: inspect.Type) -> tuple[inspect.Type, ...]:
    return shape.types if isinstance(shape, inspect.UnionType) else (shape,)


def _below(shape: inspect.Type, step: Step) -> inspect.Type | None:
    for member in _members(shape):
        match member:
            case inspect.StructType():
                found = next((f.type for f in member.fields if f.encode_name == step), None)
                if found is not None:
                    return found
            case inspect.TupleType() if isinstance(step, int) and step < len(member.item_types):
                return member.item_types[step]
            case inspect.DictType() if isinstance(step, str):
                return member.value_type
            case inspect.CollectionType() if isinstance(step, int):
                return member.item_type
            case _:
                continue
    return None


def walk(value: object, shape: inspect.Type, path: Path = ()) -> Iterator[Defect]:
    """Every missing field, unknown field and number beyond MAX_NUMBER in `value`, in the order of the value."""
    if isinstance(value, dict):
        struct = _struct_for(value, shape)
        if struct is not None:
            yield from _fields(value, struct, path)
            return
        for key, item in value.items():
            yield from walk(item, _below(shape, str(key)) or _ANY, (*path, str(key)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, _below(shape, index) or _ANY, (*path, index))
    elif isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= MAX_NUMBER:
        yield Defect(path, Kind.VALUE, "is larger than any number here can be")


_ANY = inspect.AnyType()


def _struct_for(value: dict[str, object], shape: inspect.Type) -> inspect.StructType | None:
    structs = [m for m in _members(shape) if isinstance(m, inspect.StructType) and not m.array_like]
    if len(structs) > 1:
        structs = [s for s in structs if s.tag_field is not None and value.get(s.tag_field) == s.tag]
    return structs[0] if len(structs) == 1 else None


def _fields(value: dict[str, object], struct: inspect.StructType, path: Path) -> Iterator[Defect]:
    known = {field.encode_name: field for field in struct.fields}
    for name, field in known.items():
        if field.required and name not in value:
            yield _absent((*path, name))
    for name, item in value.items():
        if name in known:
            yield from walk(item, known[name].type, (*path, name))
        elif name != struct.tag_field:
            yield _unknown((*path, name))


def refuses_unknown(shape: inspect.Type, seen: frozenset[type] = frozenset()) -> bool:
    """Whether msgspec itself refuses unknown fields at every depth of this type, so that nothing has to be walked."""
    match shape:
        case inspect.StructType():
            if shape.cls in seen:
                return True
            deeper = seen | {shape.cls}
            return shape.forbid_unknown_fields and all(refuses_unknown(f.type, deeper) for f in shape.fields)
        case inspect.UnionType():
            return all(refuses_unknown(member, seen) for member in shape.types)
        case inspect.TupleType():
            return all(refuses_unknown(member, seen) for member in shape.item_types)
        case inspect.DictType():
            return refuses_unknown(shape.value_type, seen)
        case inspect.CollectionType():
            return refuses_unknown(shape.item_type, seen)
        case _:
            return True
