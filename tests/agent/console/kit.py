"""A console server with everything real but the guests, which are small servers on Unix sockets."""

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from agent.api.console import ConsoleTicket, TicketQuery, WebsocketAddress, routes
from agent.blocking import BlockingPool
from agent.console.proxy import VncRelay
from agent.console.serial import SerialHub
from agent.console.serial_log import SerialLogs
from agent.console.service import ConsoleService
from agent.console.tickets import TicketOffice
from agent.console.viewers import Viewers
from agent.console.websockify import Websockify
from agent.http.route import AnyRoute, Call, Nothing
from cluster.clock import SystemClock
from horcrux.auth.permission import ROLE_SCOPES, Role
from horcrux.auth.principal import Principal
from horcrux.clock import Clock
from horcrux.compute.vm import RunState
from horcrux.errors import HorcruxError, NotFound, Unauthenticated, status_of
from horcrux.ids import UserName, VmId
from tests.support.waiting import eventually


async def closed(socket: ClientWebSocketResponse) -> int | None:
    """The close code, once it comes."""
    async with asyncio.timeout(20):
        while (await socket.receive()).type is WSMsgType.BINARY:
            pass
    return socket.close_code


def principal(user: str = "ada", token_id: str = "session-ada", expires_at: float | None = None) -> Principal:
    return Principal(
        user=UserName(user),
        role=Role.OPERATOR,
        scopes=ROLE_SCOPES[Role.OPERATOR],
        token_id=token_id,
        expires_at=expires_at,
    )


def unprivileged_user() -> str | None:
    """As the agent would run websockify: `libvirt-qemu`, or another that every system has."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "libvirt-qemu" if "libvirt-qemu" in names else "nobody"


@asynccontextmanager
async def short_folder() -> AsyncIterator[Path]:
    """A folder whose path leaves room for Unix sockets, and that any user may pass through."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="hx-", dir="/tmp"))
    await asyncio.to_thread(folder.chmod, 0o755)
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


class Hosts:
    """VMs as the console sees them: states and paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.states: dict[VmId, RunState] = {}

    def state_of(self, vm_id: VmId) -> RunState:
        try:
            return self.states[vm_id]
        except KeyError:
            raise NotFound(f"no VM {vm_id}") from None

    def vnc_socket(self, vm_id: VmId) -> str:
        return str(self._folder / f"{vm_id}.vnc")

    def serial_socket(self, vm_id: VmId) -> str:
        return str(self._folder / f"{vm_id}.ser")

    def serial_log(self, vm_id: VmId) -> str:
        return str(self._folder / f"{vm_id}.log")


class Screen:
    """In the place of QEMU's VNC server: says its marker, then gives back what it gets."""

    def __init__(self, path: str, marker: bytes) -> None:
        self._path = path
        self._marker = marker
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path, backlog=100)
        await asyncio.to_thread(Path(self._path).chmod, 0o777)

    async def close(self) -> None:
        """As when the guest ends: all its connections close."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        await eventually(lambda: not self._writers)
        await asyncio.to_thread(Path(self._path).unlink, missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            writer.write(self._marker)
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()


class Gate:
    """Bearer tokens are the names of sessions here."""

    def __init__(self) -> None:
        self.sessions: dict[str, Principal] = {"session-ada": principal()}

    async def identify(self, raw: web.Request) -> Principal:
        found = self.sessions.get(raw.headers.get("Authorization", "").removeprefix("Bearer "))
        if found is None:
            raise Unauthenticated("no such session")
        return found


class Console:
    """The running server and a client of it."""

    def __init__(
        self,
        *,
        folder: Path,
        hosts: Hosts,
        service: ConsoleService,
        gate: Gate,
        websockify: Websockify,
        logs: SerialLogs,
    ) -> None:
        self.folder = folder
        self.hosts = hosts
        self.service = service
        self.gate = gate
        self.websockify = websockify
        self.logs = logs
        self.port = 0
        self.screens: dict[VmId, Screen] = {}
        self.client = ClientSession()
        self._seen: list[ClientWebSocketResponse] = []

    async def boot(self, *names: str) -> list[VmId]:
        """VMs that run, each with a screen that says `I am <id>;`."""
        for vm_id in map(VmId, names):
            screen = Screen(self.hosts.vnc_socket(vm_id), f"I am {vm_id};".encode())
            await screen.open()
            self.screens[vm_id] = screen
            self.hosts.states[vm_id] = RunState.RUNNING
        return [VmId(name) for name in names]

    async def ticket(self, vm_id: str, kind: str = "vnc", session: str = "session-ada") -> ConsoleTicket:
        async with self.client.post(
            f"http://127.0.0.1:{self.port}/api/console/{vm_id}/{kind}", headers={"Authorization": f"Bearer {session}"}
        ) as answer:
            assert answer.status == 200, await answer.text()
            return msgspec.json.decode(await answer.read(), type=ConsoleTicket)

    async def status(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.client.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text()

    async def see(self, url: str, **headers: str) -> ClientWebSocketResponse:
        socket = await self.client.ws_connect(url, protocols=("binary",), headers=headers)
        self._seen.append(socket)
        return socket

    async def leave(self) -> None:
        """Closes what was opened and is not closed yet, as a browser that leaves the page."""
        for socket in self._seen:
            await socket.close()

    async def watch(self, vm_id: str, kind: str = "vnc") -> ClientWebSocketResponse:
        return await self.see((await self.ticket(vm_id, kind)).url)


@asynccontextmanager
async def console(*, clock: Clock | None = None, viewers_per_vm: int = 16) -> AsyncIterator[Console]:
    """`clock` times tickets and sessions; processes and reconnects live in real time."""
    real = SystemClock()
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(short_folder())
        hosts = Hosts(folder)
        files = BlockingPool("console-files")
        stack.push_async_callback(asyncio.to_thread, files.close)
        websockify = await stack.enter_async_context(
            Websockify(
                folder=folder / "console",
                key_file=folder / "console.pub",
                user=unprivileged_user(),
                clock=real,
                files=files,
            )
        )
        logs = SerialLogs(paths=hosts, files=files)
        hub = await stack.enter_async_context(SerialHub(paths=hosts, logs=logs, states=hosts, clock=real))
        service = ConsoleService(
            tickets=TicketOffice(clock or real, os.urandom),
            viewers=Viewers(clock or real, per_vm=viewers_per_vm),
            vnc=VncRelay(gate=websockify, paths=hosts, states=hosts, clock=real),
            serial=hub,
            states=hosts,
        )
        gate = Gate()
        built = Console(folder=folder, hosts=hosts, service=service, gate=gate, websockify=websockify, logs=logs)
        stack.push_async_callback(built.client.close)
        await stack.enter_async_context(_served(built))
        stack.push_async_callback(_close_screens, built)
        stack.push_async_callback(built.leave)
        stack.callback(service.close)
        yield built


async def _close_screens(built: Console) -> None:
    for screen in built.screens.values():
        await screen.close()


@asynccontextmanager
async def _served(built: Console) -> AsyncIterator[None]:
    listener = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    built.port = listener.sockets[0].getsockname()[1]
    listener.close()
    app = web.Application()
    for route in routes(built.service, built.gate, port=built.port):
        app.router.add_route(route.method, route.path, _handler(route, built.gate))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", built.port).start()
        yield
    finally:
        await runner.cleanup()


def _handler(route: AnyRoute, gate: Gate) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            call = Call[msgspec.Struct, msgspec.Struct](
                raw=request,
                principal=None if route.websocket else await gate.identify(request),
                path=dict(request.match_info),
                body=Nothing(),
                query=TicketQuery(request.query.get("ticket", "")) if route.websocket else Nothing(),
                request_id="test",
                if_match=None,
            )
            answer = await route.handler(call)
        except HorcruxError as err:
            return web.json_response({"code": err.code, "error": str(err)}, status=status_of(err))
        if isinstance(answer, web.StreamResponse):
            return answer
        assert isinstance(answer, ConsoleTicket | WebsocketAddress)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    return handle
