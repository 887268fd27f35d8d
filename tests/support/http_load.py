"""A keep-alive HTTP client that costs little itself, and what a daemon's process spent meanwhile."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

HZ = os.sysconf("SC_CLK_TCK")


class Address(msgspec.Struct, frozen=True):
    """A Unix socket's path, or host and port."""

    host: str
    port: int = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.port:
            return await asyncio.open_connection(self.host, self.port, limit=1 << 26)
        return await asyncio.open_unix_connection(self.host, limit=1 << 26)


class Connection:
    """One keep-alive connection; requests one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]) -> None:
        self._reader = reader
        self._writer = writer
        self._head = "".join(f"{k}: {v}\r\n" for k, v in {"Host": "bench", **headers}.items())

    async def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        data = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(data)}\r\n"
        if data:
            head += "Content-Type: application/json\r\n"
        self._writer.write(f"{head}\r\n".encode() + data)
        await self._writer.drain()
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer.split(b" ", 2)[1])
        if b"transfer-encoding: chunked" in answer:
            return status, await self._chunks()
        if b"content-length:" not in answer:
            return status, b""
        at = answer.index(b"content-length:") + 15
        return status, await self._reader.readexactly(int(answer[at : answer.index(b"\r\n", at)]))

    async def _chunks(self) -> bytes:
        whole = bytearray()
        while size := int((await self._reader.readline()).split(b";")[0], 16):
            whole += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readline()
        return bytes(whole)

    def close(self) -> None:
        self._writer.close()


async def connect(address: Address, headers: Mapping[str, str] | None = None) -> Connection:
    return Connection(*await address.connect(), headers or {})


class Load(msgspec.Struct, frozen=True):
    """What `load` measured. `cpu_ms` is the daemon's CPU per request."""

    requests: int
    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_ms: float
    body_bytes: int


async def load(
    address: Address, path: str, *, clients: int, seconds: float, pid: int, headers: Mapping[str, str] | None = None
) -> Load:
    """GETs `path` from `clients` connections for `seconds`; every answer must be 200."""
    times: list[float] = []
    size = 0
    end = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal size
        connection = await connect(address, headers)
        while time.perf_counter() < end:
            begun = time.perf_counter()
            status, body = await connection.request("GET", path)
            times.append(time.perf_counter() - begun)
            if status != 200:
                raise RuntimeError(f"GET {path}: {status} {body[:300]!r}")
            size = len(body)
        connection.close()

    spent, begun = cpu_s(pid), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    wall = time.perf_counter() - begun
    times.sort()
    return Load(
        requests=len(times),
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[int(len(times) * 0.99)] * 1000,
        per_s=len(times) / wall,
        cpu_ms=(cpu_s(pid) - spent) * 1000 / len(times),
        body_bytes=size,
    )


def cpu_s(pid: int) -> float:
    """CPU seconds the process has used so far, in its own and the kernel's code."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
