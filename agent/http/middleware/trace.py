"""Every request has an id: the client's when it is a sane one, else ours. It is in every answer, error, task and log line."""

import re

from aiohttp import web

from horcrux.ids import Entropy

HEADER = "X-Request-Id"
_SANE = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")


def request_id_of(raw: web.Request, entropy: Entropy) -> str:
    given = raw.headers.get(HEADER)
    return given if given is not None and _SANE.match(given) else entropy(8).hex()
