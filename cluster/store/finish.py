"""Calls that must be known to be over before anything else happens."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def finished(call: asyncio.Future[T]) -> T:
    """The call's result; when we are cancelled it is still awaited to its end, then the cancellation goes on."""
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        while not call.done():
            try:
                await asyncio.wait([call])
            except asyncio.CancelledError:
                continue  # asked again: the first request is on its way already
        if not call.cancelled():
            call.exception()  # looked at, so that asyncio does not report it as forgotten
        raise
