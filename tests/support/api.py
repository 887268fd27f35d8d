"""A client that says what it expects: each call gives the answer's JSON, or fails the test with what came instead."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.support.waiting import until


class Answer:
    """What came back, read to the end."""

    def __init__(self, status: int, headers: Mapping[str, str], text: str) -> None:
        self.status = status
        self.headers = headers
        self.text = text

    @property
    def json(self) -> Any:
        return json.loads(self.text) if self.text else None


class Api:
    """`get`, `post`, … take the expected status first."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def call(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
        async with self.session.request(method, path, json=body, **options) as answer:
            return Answer(answer.status, answer.headers, await answer.text())

    async def expect(self, status: int, method: str, path: str, body: object = None, **options: Any) -> Any:
        """The JSON of the answer, which has `status`."""
        answer = await self.call(method, path, body, **options)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.text}"
        return answer.json

    async def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return await self.expect(status, "GET", path, **options)

    async def post(self, path: str, body: object = None, status: int = 200, **options: Any) -> Any:
        return await self.expect(status, "POST", path, body, **options)

    async def patch(self, path: str, body: object, status: int = 200, **options: Any) -> Any:
        return await self.expect(status, "PATCH", path, body, **options)

    async def delete(self, path: str, status: int = 204, **options: Any) -> Any:
        return await self.expect(status, "DELETE", path, **options)

    async def make(self, vm_id: str, **order: object) -> Any:
        """A VM; 64 MiB without disks unless said otherwise."""
        return await self.post("/api/vms", {"id": vm_id, "memory_mb": 64, **order}, 201)

    async def begin(self, method: str, path: str, body: object = None) -> str:
        """The id of the task that was begun and goes on."""
        answer = await self.call(method, path, body, headers={"Prefer": "respond-async"})
        assert answer.status == 202, answer.text
        assert answer.headers["Location"] == f"/api/tasks/{answer.json['id']}"
        return str(answer.json["id"])

    async def ended(self, task_id: str) -> Any:
        """The task once it is over."""
        look = functools.partial(self.get, f"/api/tasks/{task_id}")
        return await until(look, lambda task: task["state"] not in {"queued", "running"}, timeout_s=60)

    async def until_queued(self, vm_id: str, count: int = 1) -> None:
        """So many tasks wait for their turn at the VM."""
        look = functools.partial(self.get, "/api/tasks", params={"target": f"vm/{vm_id}", "state": "queued"})
        await until(look, lambda tasks: len(tasks) >= count)

    async def until_status(self, vm_id: str, status: str, seconds: float = 2.0) -> Any:
        """The VM once it has that status."""
        look = functools.partial(self.get, f"/api/vms/{vm_id}")
        return await until(look, lambda vm: vm["status"] == status, timeout_s=seconds, every_s=0.01)

    @asynccontextmanager
    async def events(self, last: str | None = None) -> AsyncIterator["EventStream"]:
        """The event stream, begun; after event `last` if there is one."""
        headers = {} if last is None else {"Last-Event-ID": last}
        async with self.session.get("/api/events", headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            stream = EventStream(answer)
            await stream.until_begun()
            yield stream


class StreamedEvent:
    def __init__(self, fields: Mapping[str, str]) -> None:
        body = json.loads(fields["data"])
        self.event_id = fields["id"]
        self.kind = fields["event"]
        self.id = body["id"]
        self.data = body["data"]
        assert body["kind"] == self.kind


class EventStream:
    """A reader of Server-Sent Events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def until_begun(self) -> None:
        assert await self._answer.content.readline() == b"retry: 2000\n"
        assert await self._answer.content.readline() == b"\n"

    async def next(self, seconds: float = 5.0) -> StreamedEvent | None:
        """The next event; None at the end of the stream. Comments are passed over."""
        async with asyncio.timeout(seconds):
            fields: dict[str, str] = {}
            while line := (await self._answer.content.readline()).decode():
                if line == "\n" and fields:
                    return StreamedEvent(fields)
                name, colon, value = line.rstrip("\n").partition(": ")
                if colon and name:
                    fields[name] = value
            return None

    async def line(self, seconds: float = 5.0) -> str:
        async with asyncio.timeout(seconds):
            return (await self._answer.content.readline()).decode()

    async def until(self, kind: str, id_: str, **data: object) -> list[StreamedEvent]:
        """All events up to the first of `kind` and `id_` whose data has what is given."""
        seen = []
        while (event := await self.next()) is not None:
            seen.append(event)
            if (event.kind, event.id) == (kind, id_) and _has(event.data, data):
                return seen
        raise AssertionError(f"the stream ended without {kind} {id_} {data}")


def _has(data: Mapping[str, object] | None, wanted: Mapping[str, object]) -> bool:
    if data is None:
        return not wanted
    return bool(wanted) and all(data[name] == value for name, value in wanted.items())
