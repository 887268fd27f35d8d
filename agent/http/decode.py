"""Bytes become types here, and whatever cannot is a 4xx that names the field.

body:  content type -> size (before and while reading) -> JSON -> the route's struct -> numbers within reason
query: each name once, known, -> the route's struct
path:  no control characters, no slash
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError
from msgspec import inspect

from agent.http.defects import BadFields, Defect, Kind, refuses_unknown, translate, walk
from horcrux.errors import Invalid, NotFound, TooLarge

S = TypeVar("S", bound=msgspec.Struct)

_BIG = re.compile(rb"\d{16}|\d[eE]\+?\d")
"""Only a body that matches can hold a number beyond MAX_NUMBER."""
_BAD_IN_PATH = re.compile(r"[\x00-\x1f\x7f/\ud800-\udfff]")
MAX_PATH_VALUE = 255


async def read_body(raw: web.Request, max_bytes: int, time_limit_s: float) -> bytes:
    """The whole body, never more than `max_bytes` of it in memory. Raises TooLarge, or Invalid when it is cut off,
    wrongly encoded or slower than the time limit."""
    if (raw.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    pieces: list[bytes] = []
    total = 0
    try:
        async with asyncio.timeout(time_limit_s):
            while piece := await raw.content.readany():
                total += len(piece)
                if total > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
    except TimeoutError:
        raise Invalid(f"the body did not arrive within {time_limit_s:g} s") from None
    except (ContentEncodingError, HttpProcessingError, web.RequestPayloadError) as error:
        raise Invalid("the body cannot be read: its Content-Encoding or Transfer-Encoding is broken") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {max_bytes} bytes this call takes", max_body_bytes=max_bytes)


def check_content_type(raw: web.Request) -> None:
    """Raises Invalid when the client says that its body is something other than JSON."""
    kind = raw.headers.get("Content-Type")
    if kind is None or kind == "application/json":
        return
    essence = kind.partition(";")[0].strip().lower()
    if essence != "application/json" and not essence.endswith("+json"):
        raise Invalid(f"the body has to be JSON: send Content-Type: application/json, not {essence[:80]!r}")


class BodyDecoder(Generic[S]):
    """Made once for a route."""

    def __init__(self, type_: type[S]) -> None:
        self._decoder = msgspec.json.Decoder(type_)
        self._shape = inspect.type_info(type_)
        self._strict = refuses_unknown(self._shape)

    def decode(self, body: bytes) -> S:
        """No body counts as `{}`. Raises Invalid (not JSON), BadFields (JSON of another shape)."""
        try:
            value = self._decoder.decode(body or b"{}")
        except msgspec.ValidationError as error:
            raise BadFields(self._defects(body, error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(_not_json(error)) from None
        if not self._strict or _BIG.search(body):
            defects = list(walk(self._raw(body), self._shape))
            if defects:
                raise BadFields(defects)
        return value

    def _defects(self, body: bytes, error: msgspec.ValidationError) -> list[Defect]:
        """All missing and unknown fields; msgspec's own finding first when it is about something else."""
        first = translate(error, self._shape)
        found = list(walk(self._raw(body), self._shape))
        if first.kind in {Kind.MISSING, Kind.UNKNOWN} and found:
            return found
        return [first, *(defect for defect in found if defect.path != first.path)]

    def _raw(self, body: bytes) -> object:
        try:
            return msgspec.json.decode(body or b"{}")
        except msgspec.ValidationError:
            return None  # a number beyond a double: only the typed decoder names its place
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Invalid(_not_json(error)) from None


def _not_json(error: Exception) -> str:
    match error:
        case RecursionError():
            return "the body is nested too deeply"
        case UnicodeDecodeError():
            return "the body is not JSON: a string in it is not UTF-8"
        case _:
            reason = str(error).removeprefix("JSON is malformed: ")
            return f"the body is not JSON: {reason[:1].lower()}{reason[1:]}"


class QueryDecoder(Generic[S]):
    """Made once for a route. Strings become what the struct wants; a list field may be given several times."""

    def __init__(self, type_: type[S]) -> None:
        self._type = type_
        shape = inspect.type_info(type_)
        if not isinstance(shape, inspect.StructType):
            raise TypeError(f"a query is a flat struct, not {type_!r}")
        self._shape = shape
        self._lists = {f.encode_name for f in shape.fields if _takes_list(f.type)}
        self._known = {f.encode_name for f in shape.fields}
        self._empty = None if any(f.required for f in shape.fields) else type_()

    def decode(self, raw: web.Request) -> S:
        """Raises BadFields."""
        if self._empty is not None and not raw.query_string:
            return self._empty
        given = raw.query
        values: dict[str, object] = {}
        for name in dict.fromkeys(given):
            everything = given.getall(name)
            if name not in self._known:
                raise BadFields(self._unknown(given), "query")
            if len(everything) > 1 and name not in self._lists:
                raise BadFields([Defect((name,), Kind.VALUE, "is given more than once")], "query")
            values[name] = everything if name in self._lists else everything[0]
        try:
            value = msgspec.convert(values, self._type, strict=False)
        except msgspec.ValidationError as error:
            raise BadFields([translate(error, self._shape)], "query") from None
        huge = list(walk(msgspec.to_builtins(value), self._shape))
        if huge:
            raise BadFields(huge, "query")
        return value

    def _unknown(self, given: Mapping[str, str]) -> list[Defect]:
        return [
            Defect((name,), Kind.UNKNOWN, "is not a query parameter of this call")
            for name in dict.fromkeys(given)
            if name not in self._known
        ]


def _takes_list(shape: inspect.Type) -> bool:
    members = shape.types if isinstance(shape, inspect.UnionType) else (shape,)
    return any(isinstance(m, inspect.CollectionType | inspect.TupleType) for m in members)


def path_values(raw: web.Request) -> Mapping[str, str]:
    """The `{id}`s of the path. Raises NotFound for what no id can be: a slash, a control character, bytes that are not UTF-8."""
    values = raw.match_info
    for name, value in values.items():
        if len(value) > MAX_PATH_VALUE or _BAD_IN_PATH.search(value):
            raise NotFound(f"nothing has such an id: {name} holds characters that no id has, or too many")
    return values
