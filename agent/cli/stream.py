"""The agent's event stream (Server-Sent Events, WHATWG HTML section 9.2), read line by line."""

import http.client
from collections.abc import Iterator

import msgspec

from agent.cli.client import Client, Document, as_document
from agent.cli.exits import CliError, Exit

_SILENCE_S = 40.0
"""The agent says something every 15 s; so long without a word, and the way to it is broken."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`data` is the object as it is now, None when it is gone. Kind `reset`: events were missed, list again."""

    kind: str
    id: str
    data: Document | None


class EventStream:
    """Follows on after a break where it was. `events()` yields None each time it is connected: now is the time to list."""

    def __init__(self, client: Client, attempts: int = 5) -> None:
        self._client = client
        self._attempts = attempts
        self._last = ""

    def events(self) -> Iterator[Event | None]:
        """Without end; CliError when the agent cannot be reached several times in a row."""
        failures = 0
        while True:
            try:
                headers = {"Last-Event-ID": self._last} if self._last else {}
                with self._client.open_stream("/api/events", headers, _SILENCE_S) as response:
                    yield None
                    for event in self._read(response):
                        failures = 0
                        yield event
                failures += 1
            except CliError as error:
                if error.exit_code is not Exit.UNREACHABLE:
                    raise
                failures += 1
                if failures >= self._attempts:
                    raise
            except (OSError, http.client.HTTPException):
                failures += 1
            if failures >= self._attempts:
                raise CliError("the event stream broke off again and again", Exit.UNREACHABLE, "try again")

    def _read(self, response: http.client.HTTPResponse) -> Iterator[Event]:
        data: list[str] = []
        identity = ""
        while line := response.readline():
            name, _, value = line.decode().rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            match name:
                case "data":
                    data.append(value)
                case "id":
                    identity = value
                case "" if not line.strip() and data:
                    self._last = identity or self._last
                    yield _event("\n".join(data))
                    data = []
                case _:
                    continue


def _event(text: str) -> Event:
    told = as_document(msgspec.json.decode(text))
    inner = told.get("data")
    return Event(
        kind=str(told.get("kind", "")),
        id=str(told.get("id", "")),
        data=as_document(inner) if inner is not None else None,
    )
