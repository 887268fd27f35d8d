"""What both consoles do with a browser's websocket: accept it, run until the first end, close it.

A browser cannot read the status of a refused upgrade, so what it should be told goes into a close code.
"""

import asyncio
from collections.abc import Coroutine

from aiohttp import web

from agent.console.closing import Closing

HEARTBEAT_S = 30.0
CLOSE_TIMEOUT_S = 3.0


async def accept(request: web.Request, *, max_message_bytes: int) -> web.WebSocketResponse:
    """The open websocket: pings every 30 s, no compression (screens are compressed by their own protocol)."""
    socket = web.WebSocketResponse(
        protocols=("binary",),
        heartbeat=HEARTBEAT_S,
        compress=False,
        max_msg_size=max_message_bytes,
        timeout=CLOSE_TIMEOUT_S,
    )
    await socket.prepare(request)
    return socket


async def close(request: web.Request, socket: web.WebSocketResponse, closing: Closing) -> None:
    """The socket is closed and the peer was told why; one that does not read is cut off after a few seconds."""
    # wait_for, since asyncio.timeout does not fire in a task that has been cancelled before (CPython 3.11.2, gh-102780).
    try:
        await asyncio.wait_for(
            socket.close(code=closing.code, message=closing.reason.encode()[:123]), CLOSE_TIMEOUT_S + 1
        )
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()


async def first_end(*works: Coroutine[None, None, Closing]) -> Closing:
    """The reason of the first work that ends; the others are cancelled and awaited."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    return next(task for task in tasks if task in done).result()
