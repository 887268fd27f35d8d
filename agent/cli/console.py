"""`horcrux vm console`: the guest's serial line in this terminal.

The terminal is raw meanwhile: every key goes to the guest, Ctrl+C among them. Ctrl+] ends it.
"""

import asyncio
import os
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit, urlunsplit

import typer

from agent.cli.client import Client, Document, path_of
from agent.cli.command import Cli, by_name, command, complete_ids
from agent.cli.exits import CliError, Exit

if TYPE_CHECKING:
    import aiohttp

_ESCAPE = b"\x1d"
"""Ctrl+], as telnet and virsh have it."""
_QUIET_S = 2.0
"""What was piped in has been answered when the guest says nothing for so long."""


def add_to(app: typer.Typer) -> None:
    command(app, "console")(console)


def console(
    cli: Cli,
    vm: Annotated[str, typer.Argument(metavar="VM", autocompletion=complete_ids("vms"))],
    web: Annotated[bool, typer.Option("--web", help="Print the address of its screen in the browser.")] = False,
) -> None:
    """Open a VM's serial console in this terminal; Ctrl+] ends it."""
    if web:
        print(screen_url(cli.url, by_name(cli, vm, lambda id_: str(_show(cli, id_).get("id")))))
        return
    address = by_name(cli, vm, lambda id_: _ticket(cli.client(), id_))
    cli.say(f"connected to {vm}; Ctrl+] ends it")
    if sys.stdin.isatty():
        with _raw_terminal(sys.stdin.fileno()):
            why = asyncio.run(_relay(address, is_terminal=True))
    else:
        why = asyncio.run(_relay(address, is_terminal=False))
    cli.say(f"\r\n{why}")


def _show(cli: Cli, vm: str) -> Document:
    return cli.client().get(path_of("vms", vm)).document


def screen_url(url: str, vm: str) -> str:
    """Where the browser shows the VM's screen."""
    return f"{url}/vms/{quote(vm, safe='')}/console"


def _ticket(client: Client, vm: str) -> str:
    """The websocket's address with its one-use ticket, on the host that we reach the agent by."""
    return _websocket_address(client.url, client.call("POST", path_of("console", vm, "serial")).document)


def _websocket_address(base: str, ticket: Document) -> str:
    """The agent may know itself by another name than we do (a tunnel, a proxy), so its path is taken, our host kept."""
    told = urlsplit(str(ticket.get("url", "")))
    if not told.path:
        raise CliError("the agent named no address for the console", next_step="horcrux version")
    ours = urlsplit(base)
    return urlunsplit(("wss" if ours.scheme == "https" else "ws", ours.netloc, told.path, told.query, ""))


@contextmanager
def _raw_terminal(descriptor: int) -> Iterator[None]:
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


async def _relay(address: str, *, is_terminal: bool) -> str:
    """Both ways until one side ends; says why it ended."""
    import aiohttp

    parts = urlsplit(address)
    origin = urlunsplit(("https" if parts.scheme == "wss" else "http", parts.netloc, "", "", ""))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.ws_connect(address, headers={"Origin": origin}, heartbeat=20) as socket,
        ):
            return await _both_ways(socket, _typed(sys.stdin.fileno()), is_terminal=is_terminal)
    except aiohttp.ClientError as err:
        raise CliError(f"the console could not be opened: {err}", Exit.UNREACHABLE, "does the VM run?") from err


def _typed(descriptor: int) -> asyncio.Queue[bytes]:
    """What is typed or piped in, then an empty piece at its end. Read on a thread of its own, since what stdin is (a terminal,
    a pipe, a file) decides whether the loop could watch it; the thread dies with the process."""
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        piece = b"-"
        while piece:
            piece = os.read(descriptor, 4096)
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except RuntimeError:
                return  # the loop is closed: the other side has ended

    threading.Thread(target=read, name="stdin", daemon=True).start()
    return pieces


async def _both_ways(
    socket: "aiohttp.ClientWebSocketResponse", typed: asyncio.Queue[bytes], *, is_terminal: bool
) -> str:
    async with asyncio.TaskGroup() as group:
        receiving = group.create_task(_receive(socket, until_quiet=False))
        sending = group.create_task(_send(socket, typed, is_terminal=is_terminal))
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            sending.cancel()
            return receiving.result()
        receiving.cancel()
    return sending.result() if is_terminal else await _receive(socket, until_quiet=True)


async def _send(socket: "aiohttp.ClientWebSocketResponse", typed: asyncio.Queue[bytes], *, is_terminal: bool) -> str:
    while piece := await typed.get():
        before, escape, _ = piece.partition(_ESCAPE) if is_terminal else (piece, b"", b"")
        if before:
            await socket.send_bytes(before)
        if escape:
            return "left the console; the VM goes on"
    return "the input has ended; the VM goes on"


async def _receive(socket: "aiohttp.ClientWebSocketResponse", *, until_quiet: bool) -> str:
    """What the guest writes goes to stdout until the agent closes, or the guest falls silent."""
    import aiohttp

    while True:
        try:
            message = await socket.receive(timeout=_QUIET_S if until_quiet else None)
        except TimeoutError:
            return "the input has ended and the guest is silent; the VM goes on"
        match message.type:
            case aiohttp.WSMsgType.BINARY:
                content = message.data
            case aiohttp.WSMsgType.TEXT:
                content = message.data.encode()
            case _:
                return f"the agent closed the console{f': {message.extra}' if message.extra else ''}"
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
