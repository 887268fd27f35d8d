"""Revisions as entity tags (RFC 9110 sections 8.8.3 and 13.1): `"17"` is revision 17 of a document."""

import re

from aiohttp import web

from horcrux.errors import invalid_field

_STRONG = re.compile(r'"(\d{1,19})"\Z')


def tag_of(revision: int) -> str:
    return f'"{revision}"'


def if_match_of(raw: web.Request) -> int | None:
    """The revision in If-Match; None without one, and for `*`. Raises InvalidFields for anything else."""
    header = raw.headers.get("If-Match")
    if header is None:
        return None
    text = header.strip()
    if text == "*":
        return None
    match = _STRONG.match(text)
    if match is None:
        raise invalid_field("If-Match", 'expected one ETag as this API sends it, such as "17" with its quotes')
    return int(match[1])


def is_unchanged(raw: web.Request, tag: str) -> bool:
    """Whether If-None-Match names `tag`, so that 304 is the answer."""
    header = raw.headers.get("If-None-Match")
    if header is None:
        return False
    return header.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in header.split(","))
