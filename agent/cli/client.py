"""The agent's API over HTTP. The standard library's client, because it loads in a tenth of the time of the others."""

import http.client
import os
import socket
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from agent.cli.exits import CliError, Exit, error_of

Document = dict[str, object]
"""A JSON object as the API sends it."""


class Readable(Protocol):
    """A file, as far as sending it needs one."""

    def read(self, amount: int = ..., /) -> bytes: ...


_TIMEOUT_S = 60.0
_UPLOAD_TIMEOUT_S = 900.0
"""After the last byte the agent checks the whole image before it answers."""
_ASYNC = "respond-async, wait=1"
"""RFC 7240: what is done within a second is answered at once, the rest as a task to follow."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    raw: bytes

    @property
    def body(self) -> object:
        """The decoded JSON; None for an empty body."""
        if not self.raw:
            return None
        try:
            return msgspec.json.decode(self.raw)
        except msgspec.DecodeError as err:
            raise CliError("the answer is not JSON: is this address an agent's?", next_step="check --url") from err

    @property
    def document(self) -> Document:
        """The body, which must be an object."""
        return as_document(self.body)

    @property
    def rows(self) -> list[Document]:
        """The body, which must be a list of objects."""
        body = self.body
        if not isinstance(body, list):
            raise CliError("the answer is not a list: is this agent of another version?", next_step="horcrux version")
        return [as_document(row) for row in body]


def as_document(value: object) -> Document:
    if not isinstance(value, dict):
        raise CliError("the answer is not an object: is this agent of another version?", next_step="horcrux version")
    return value


def path_of(*segments: str) -> str:
    """`/api/…` with each segment quoted."""
    return "/api/" + "/".join(quote(segment, safe="") for segment in segments)


class Client:
    """One connection a request: commands make few, and none may fail because an idle one was closed."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CliError(f"{url!r} is no address of an agent", Exit.USAGE, "give --url http://HOST:8006")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._is_tls else 80)
        self._token = token

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        prefer: str = "",
    ) -> Answer:
        """The answer, when it is a 2xx; CliError with the agent's sentence otherwise."""
        sent = dict(headers or {})
        content: bytes | None = None
        if body is not None:
            content = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        if method == "POST":
            sent["Idempotency-Key"] = uuid.uuid4().hex
        if prefer:
            sent["Prefer"] = prefer
        with self._exchange(method, _with_query(path, query), content, sent) as response:
            return _checked(response)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        return self.call("GET", path, query=query)

    def work(self, method: str, path: str, *, body: object = None, if_match: str = "", wait: bool = True) -> Answer:
        """A call that may be a task: 202 with the task when it takes longer than a second, at once without `wait`."""
        headers = {"If-Match": if_match} if if_match else {}
        return self.call(method, path, body=body, headers=headers, prefer=_ASYNC if wait else "respond-async")

    def put_file(self, path: str, stream: Readable, size_bytes: int, query: Mapping[str, str]) -> Answer:
        """The file is sent as it is read."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size_bytes),
            "Prefer": "respond-async",
        }
        with self._exchange("PUT", _with_query(path, query), stream, headers, _UPLOAD_TIMEOUT_S) as response:
            return _checked(response)

    @contextmanager
    def open_stream(
        self, path: str, headers: Mapping[str, str], silence_s: float
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer without an end; reading it raises TimeoutError after `silence_s` without a byte."""
        with self._exchange("GET", path, None, dict(headers), silence_s) as response:
            if response.status != http.client.OK:
                _checked(response)
            yield response

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        content: bytes | Readable | None,
        headers: dict[str, str],
        timeout_s: float = _TIMEOUT_S,
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection(timeout_s)
        headers |= {"Accept": "application/json, text/event-stream, text/plain", "User-Agent": "horcrux-cli"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            with _as_unreachable(self.url):
                response = _send(connection, method, path, content, headers)
            yield response
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if not self._is_tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        authority = os.environ.get("HORCRUX_CA") or None
        try:
            context = ssl.create_default_context(cafile=authority)
        except OSError as err:
            raise CliError(f"the certificate file {authority} (HORCRUX_CA) cannot be used: {err}", Exit.USAGE) from err
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=context)


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    content: bytes | Readable | None,
    headers: dict[str, str],
) -> http.client.HTTPResponse:
    try:
        connection.request(method, path, body=content, headers=headers)
    except (BrokenPipeError, ConnectionResetError):
        # The agent refused a long body before its end; what it said still waits to be read.
        return connection.getresponse()
    return connection.getresponse()


@contextmanager
def _as_unreachable(url: str) -> Iterator[None]:
    step = "is the agent running there? `systemctl status horcrux-agent`, or give another --url"
    try:
        yield
    except ssl.SSLCertVerificationError as err:
        raise CliError(
            f"{url}: its certificate is not trusted: {err.verify_message}",
            Exit.UNREACHABLE,
            "set HORCRUX_CA to the certificate of the cluster's authority",
        ) from err
    except TimeoutError as err:
        raise CliError(f"{url} did not answer in time", Exit.UNREACHABLE, step) from err
    except (OSError, http.client.HTTPException) as err:
        why = err.strerror if isinstance(err, OSError) and err.strerror else str(err) or type(err).__name__
        if isinstance(err, socket.gaierror):
            why = "the name is not known"
        raise CliError(f"{url} cannot be reached: {why}", Exit.UNREACHABLE, step) from err


def _with_query(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _checked(response: http.client.HTTPResponse) -> Answer:
    try:
        raw = response.read()
    except (OSError, http.client.HTTPException) as err:
        raise CliError(f"the answer broke off: {err}", Exit.UNREACHABLE, "try again") from err
    answer = Answer(
        status=response.status, headers={name.lower(): value for name, value in response.getheaders()}, raw=raw
    )
    if response.status < http.client.BAD_REQUEST:
        return answer
    raise _refusal(answer)


def _refusal(answer: Answer) -> CliError:
    """The agent's own sentence where it sent one."""
    message, code = f"the agent answered {answer.status}", ""
    try:
        told = msgspec.json.decode(answer.raw)
    except msgspec.DecodeError:
        told = None
    if isinstance(told, dict):
        message = str(told.get("error") or told.get("detail") or message)
        code = str(told.get("code") or "")
    error = error_of(message, code=code, status=answer.status)
    if not code and answer.status == http.client.UNAUTHORIZED:
        error.next_step = "sign in with `horcrux login`"
    return error
