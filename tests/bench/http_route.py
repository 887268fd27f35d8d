"""What the server itself costs: an empty route, by CPU time of the server's thread per request.

python -m tests.bench.http_route
"""

import asyncio
import socket
import threading
import time

import msgspec

from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from agent.http.settings import HttpSettings
from horcrux.auth.permission import Scope
from tests.support.http import Served, serving

REQUESTS = 4000
LIST = msgspec.Raw(b"[" + b",".join(b'{"id":"vm-%d","name":"%s"}' % (n, b"x" * 150) for n in range(1000)) + b"]")


async def empty(_: Call[Nothing, Nothing]) -> Reply:
    return Reply(body={"id": "vm-100"}, revision=17)


async def everything(_: Call[Nothing, Nothing]) -> Reply:
    return Reply(body=LIST)


ROUTES: list[AnyRoute] = [
    Route("GET", "/api/vms/{id}", empty, scope=Scope.VM_READ, summary="One"),
    Route("GET", "/api/vms", everything, scope=Scope.VM_READ, summary="All"),
]


def ask(port: int, path: str, count: int) -> float:
    """Seconds for `count` requests, one after the other."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nAccept: */*\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        size = 0
        began = time.perf_counter()
        for _ in range(count):
            connection.sendall(request)
            if size == 0:
                answer = connection.recv(1 << 20)
                head, _, body = answer.partition(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                size = len(head) + 4 + length
                left = length - len(body)
            else:
                left = size
            while left > 0:
                left -= len(connection.recv(1 << 20))
        return time.perf_counter() - began


async def measure(served: Served, path: str, count: int) -> None:
    await asyncio.to_thread(ask, served.server.port, path, 200)
    cpu = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    wall = await asyncio.to_thread(ask, served.server.port, path, count)
    cpu = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID) - cpu
    print(f"{path:20} {cpu / count * 1e6:7.1f} us CPU  {wall / count * 1e6:7.1f} us wall  per request")


async def main() -> None:
    print(f"threads: {threading.active_count()}")
    async with serving(ROUTES, settings=HttpSettings(requests_per_hour=10**9)) as served:
        await measure(served, "/api/vms/vm-100", REQUESTS)
        await measure(served, "/api/vms", REQUESTS // 4)
        await measure(served, "/api/nothing", REQUESTS)


if __name__ == "__main__":
    asyncio.run(main())
