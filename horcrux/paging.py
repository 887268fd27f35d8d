"""Lists by pages: `?limit=&after=&fields=`. Lists are bare, ordered by a key that the client can read off the last item."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from horcrux.errors import invalid_field

T = TypeVar("T", bound=msgspec.Struct)

PageLimit = Annotated[int, Meta(ge=1, le=10_000)]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """`limit`: at most so many items. `after`: begin behind the item with this key. `fields`: only these, with commas between."""

    limit: PageLimit | None = None
    after: str | None = None
    fields: str | None = None


def page_of(items: Sequence[T], page: Page, key: Callable[[T], str]) -> list[T] | list[dict[str, object]]:
    """The items of the page, which must come ordered by `key`; with `fields` as objects that hold only those.

    Raises InvalidFields for an unknown field.
    """
    chosen = [item for item in items if page.after is None or key(item) > page.after]
    chosen = chosen[: page.limit]
    if page.fields is None:
        return chosen
    return [_only(item, page.fields.split(",")) for item in chosen]


def _only(item: msgspec.Struct, names: Sequence[str]) -> dict[str, object]:
    unknown = [name for name in names if name not in item.__struct_fields__]
    if unknown:
        known = ", ".join(item.__struct_fields__)
        raise invalid_field("fields", f"unknown: {', '.join(unknown)}; there are: {known}")
    return {name: getattr(item, name) for name in names}
