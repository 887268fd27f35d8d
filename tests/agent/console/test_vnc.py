"""The screen's whole way, through a real websockify."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import jwt
import msgspec
import pytest
from aiohttp import WSServerHandshakeError
from cryptography.hazmat.primitives.asymmetric import ec

from agent.api.console import WebsocketAddress
from agent.blocking import BlockingPool
from agent.console.closing import CloseCode
from agent.console.websockify import WebsockifyUnit
from cluster.clock import SystemClock
from horcrux.auth.principal import Ended
from horcrux.compute.vm import RunState
from horcrux.errors import Unavailable
from horcrux.ids import UserName, VmId
from tests.agent.console.kit import Console, Screen, closed, console, principal, short_folder, unprivileged_user
from tests.support.clock import FakeClock
from tests.support.waiting import eventually, until


async def test_the_guest_s_bytes_arrive_and_what_is_typed_reaches_it() -> None:
    async with console() as node:
        await node.boot("vm-1")
        socket = await node.watch("vm-1")
        assert socket.protocol == "binary"
        assert await socket.receive_bytes(timeout=20) == b"I am vm-1;"
        await socket.send_bytes(b"\x00key\xff")
        assert await socket.receive_bytes(timeout=20) == b"\x00key\xff"
        assert node.service.viewers(VmId("vm-1")) == 1
        await socket.close()
        await eventually(lambda: node.service.viewers(VmId("vm-1")) == 0)


async def test_forty_consoles_at_once_each_see_their_own_vm_and_no_other() -> None:
    async with console() as node:
        names = await node.boot("vm-a", "vm-b", "vm-c", "vm-d")

        async def look(number: int) -> tuple[bytes, bytes]:
            vm_id = names[number % 4]
            socket = await node.watch(vm_id)
            said = b"%d;" % number
            seen = await socket.receive_bytes(timeout=30)
            await socket.send_bytes(said)
            while len(seen) < len(f"I am {vm_id};") + len(said):
                seen += await socket.receive_bytes(timeout=30)
            await socket.close()
            return seen, f"I am {vm_id};".encode() + said

        for seen, expected in await asyncio.gather(*(look(number) for number in range(40))):
            assert seen == expected


async def test_a_megabyte_each_way_arrives_whole() -> None:
    async with console() as node:
        await node.boot("vm-1")
        socket = await node.watch("vm-1")
        await socket.receive_bytes(timeout=20)
        sent = os.urandom(1 << 20)
        back = bytearray()

        async def receive() -> None:
            while len(back) < len(sent):
                back.extend(await socket.receive_bytes(timeout=20))

        async with asyncio.TaskGroup() as group:
            group.create_task(receive())
            for start in range(0, len(sent), 100_000):
                await socket.send_bytes(sent[start : start + 100_000])
        assert bytes(back) == sent
        await socket.close()


async def test_the_websocket_address_is_complete_and_on_the_host_that_was_asked() -> None:
    async with console() as node:
        await node.boot("vm-1")
        status, text = await node.status(
            "GET", "/api/console/vm-1/websocket", Authorization="Bearer session-ada", Host="cloud.example:8443"
        )
        address = msgspec.json.decode(text, type=WebsocketAddress)
        assert status == 200
        assert address.url == f"ws://cloud.example:8443/api/console/vm-1/ws?ticket={address.ticket}"
        socket = await node.see(f"ws://127.0.0.1:{node.port}/api/console/vm-1/ws?ticket={address.ticket}")
        assert await socket.receive_bytes(timeout=20) == b"I am vm-1;"
        await socket.close()


async def test_a_ticket_answer_names_our_own_port_and_its_end() -> None:
    async with console() as node:
        await node.boot("vm-1")
        ticket = await node.ticket("vm-1")
        assert ticket.port == node.port
        assert 25 < ticket.expires_at - time.time() <= 30
        assert len(base64.urlsafe_b64decode(ticket.ticket + "=")) == 32


@pytest.mark.parametrize("state", [RunState.STOPPED, RunState.CRASHED, RunState.CREATING, RunState.UNKNOWN])
async def test_no_ticket_for_a_vm_that_does_not_run(state: RunState) -> None:
    async with console() as node:
        node.hosts.states[VmId("vm-1")] = state
        status, text = await node.status("POST", "/api/console/vm-1/vnc", Authorization="Bearer session-ada")
        assert status == 409
        assert "vm-1" in text


async def test_no_ticket_for_an_unknown_vm_or_for_a_host_header_that_is_none() -> None:
    async with console() as node:
        await node.boot("vm-1")
        assert (await node.status("POST", "/api/console/vm-9/serial", Authorization="Bearer session-ada"))[0] == 404
        status, _ = await node.status("POST", "/api/console/vm-1/vnc", Authorization="Bearer session-ada", Host="a<b>")
        assert status == 400


async def refusal(node: Console, url: str, **headers: str) -> str:
    """What is told to whoever shows a ticket that does not hold."""
    status, text = await node.status(
        "GET",
        url.removeprefix(f"ws://127.0.0.1:{node.port}"),
        Upgrade="websocket",
        Connection="Upgrade",
        **{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
        **headers,
    )
    assert status == 401, text
    return text


async def test_every_wrong_ticket_is_refused_in_the_same_words(caplog: pytest.LogCaptureFixture) -> None:
    async with console() as node:
        await node.boot("vm-1", "vm-2")
        node.gate.sessions["session-bob"] = principal("bob", "session-bob")
        used = (await node.ticket("vm-1")).url
        await (await node.see(used)).close()
        other_vm = (await node.ticket("vm-1")).url.replace("vm-1", "vm-2")
        other_kind = (await node.ticket("vm-1")).url.replace("/ws?", "/serial/ws?")
        others = (await node.ticket("vm-1")).url
        ended = (await node.ticket("vm-1", session="session-bob")).url
        assert node.service.close_for(Ended(user=UserName("bob"), token_id="session-bob")) == 1
        told = {
            await refusal(node, used),
            await refusal(node, other_vm),
            await refusal(node, other_vm.replace("vm-2", "vm-1")),
            await refusal(node, other_kind),
            await refusal(node, others, Authorization="Bearer session-bob"),
            await refusal(node, others),
            await refusal(node, ended),
            await refusal(node, f"/api/console/vm-1/ws?ticket={'A' * 43}"),
            await refusal(node, "/api/console/vm-1/ws"),
            await refusal(node, "/api/console/vm-1/ws?ticket=%F0%9F%98%80%ED%A0%80"),
        }
        assert len(told) == 1
        causes = [record.getMessage().partition("cause=")[2] for record in caplog.records if "refused" in record.msg]
        assert {"issued for vm-1", "issued for vnc", "shown by another session, of bob"} <= set(causes)


async def test_a_ticket_holds_for_thirty_seconds() -> None:
    clock = FakeClock(now=1000.0)
    async with console(clock=clock) as node:
        await node.boot("vm-1")
        in_time, late = await node.ticket("vm-1"), await node.ticket("vm-1")
        assert in_time.expires_at == 1030
        clock.advance(29.9)
        await (await node.see(in_time.url)).close()
        clock.advance(0.1)
        await refusal(node, late.url)


async def test_logging_out_closes_this_session_s_consoles_only() -> None:
    async with console() as node:
        await node.boot("vm-1")
        node.gate.sessions["session-bob"] = principal("bob", "session-bob")
        mine = await node.watch("vm-1")
        his = await node.see((await node.ticket("vm-1", session="session-bob")).url)
        await his.receive_bytes(timeout=20)
        node.service.close_for(Ended(user=UserName("ada"), token_id="session-ada"))
        assert await closed(mine) == CloseCode.SESSION_ENDED
        await his.send_bytes(b"still here")
        assert await his.receive_bytes(timeout=20) == b"still here"
        node.service.close_for(Ended(user=UserName("bob")))
        assert await closed(his) == CloseCode.SESSION_ENDED


async def test_a_console_does_not_outlive_its_session() -> None:
    clock = FakeClock(now=1000.0)
    async with console(clock=clock) as node:
        await node.boot("vm-1")
        node.gate.sessions["session-ada"] = principal(expires_at=1100.0)
        socket = await node.watch("vm-1")
        assert await socket.receive_bytes(timeout=20) == b"I am vm-1;"
        clock.advance(99)
        await socket.send_bytes(b"x")
        assert await socket.receive_bytes(timeout=20) == b"x"
        clock.advance(1)
        assert await closed(socket) == CloseCode.SESSION_ENDED


async def test_a_vm_that_stops_and_one_whose_screen_is_lost_are_told_apart() -> None:
    async with console() as node:
        stops, lost = await node.boot("vm-1", "vm-2")
        sockets = [await node.watch(vm_id) for vm_id in (stops, lost)]
        for socket in sockets:
            await socket.receive_bytes(timeout=20)
        await node.screens[stops].close()
        node.hosts.states[stops] = RunState.STOPPED
        await node.screens[lost].close()
        assert await closed(sockets[0]) == CloseCode.VM_STOPPED
        assert await closed(sockets[1]) == CloseCode.LOST


async def test_the_viewers_of_a_vm_are_limited() -> None:
    async with console(viewers_per_vm=2) as node:
        await node.boot("vm-1")
        urls = [(await node.ticket("vm-1")).url for _ in range(3)]
        seen = [await node.see(url) for url in urls[:2]]
        for socket in seen:
            await socket.receive_bytes(timeout=20)
        assert await closed(await node.see(urls[2])) == CloseCode.CROWDED
        status, text = await node.status("POST", "/api/console/vm-1/vnc", Authorization="Bearer session-ada")
        assert (status, "2 console viewers" in text) == (409, True)
        await seen[0].close()
        await eventually(lambda: node.service.viewers(VmId("vm-1")) == 1)
        await (await node.watch("vm-1")).close()
        await seen[1].close()


async def test_a_stopping_agent_says_so_and_opens_no_more() -> None:
    async with console() as node:
        await node.boot("vm-1")
        socket, late = await node.watch("vm-1"), await node.ticket("vm-1")
        node.service.close()
        assert await closed(socket) == CloseCode.GOING_AWAY
        assert await closed(await node.see(late.url)) == CloseCode.GOING_AWAY


async def test_text_is_not_for_a_screen() -> None:
    async with console() as node:
        await node.boot("vm-1")
        socket = await node.watch("vm-1")
        await socket.send_str("hello")
        assert await closed(socket) == CloseCode.UNSUPPORTED


async def first_bytes(gate: Path, token: str) -> bytes:
    """What websockify at `gate` sends first to whoever shows `token`."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(gate))) as session,
        session.ws_connect("http://console/", headers={"Host": token}) as socket,
    ):
        return await socket.receive_bytes(timeout=20)


def _hs256_by_public_key(node: Console, claims: dict[str, object]) -> str:
    """The classic forgery: the public key used as a shared secret. PyJWT refuses to make it, so it is made by hand."""
    key = (node.folder / "console.pub").read_bytes()
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    ]
    signature = base64.urlsafe_b64encode(hmac.digest(key, b".".join(parts), hashlib.sha256)).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


async def test_websockify_takes_no_token_but_ours_and_writes_none_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with console() as node:
        await node.boot("vm-1")
        path = await node.websockify.ready()
        target = node.hosts.vnc_socket(VmId("vm-1"))
        claims: dict[str, object] = {"host": "unix_socket", "port": target, "exp": int(time.time()) + 10}
        wrong_key = ec.generate_private_key(ec.SECP256R1())
        late = ec_token_of(node, claims | {"exp": int(time.time()) - 1})
        refused = [
            jwt.encode(claims, wrong_key, algorithm="ES256"),
            await asyncio.to_thread(_hs256_by_public_key, node, claims),
            jwt.encode(claims, "", algorithm="none"),
            late,
            "not-a-token",
        ]
        good = node.websockify.sign(target)

        for token in refused:
            with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, WSServerHandshakeError)):
                await first_bytes(path, token)
        assert await first_bytes(path, good) == b"I am vm-1;"
        await (await node.watch("vm-1")).close()
        await eventually(lambda: sum("<token>" in record.getMessage() for record in caplog.records) >= len(refused))
        logged = "\n".join(record.getMessage() for record in caplog.records)
        assert "connecting to unix socket" in logged
        assert not [token for token in [*refused, good] if token in logged]
        assert "eyJ" not in logged


def ec_token_of(node: Console, claims: dict[str, object]) -> str:
    """A token signed by the node's own key with other claims."""
    return jwt.encode(claims, node.websockify._key._private, algorithm="ES256")


async def test_websockify_comes_back_when_it_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    async with console() as node:
        await node.boot("vm-1")
        open_before = await node.watch("vm-1")
        assert await open_before.receive_bytes(timeout=20) == b"I am vm-1;"
        first = node.websockify.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: node.websockify.pid not in {None, first})
        socket = await node.watch("vm-1")
        assert await socket.receive_bytes(timeout=20) == b"I am vm-1;"
        await open_before.send_bytes(b"its own process serves it on")
        assert await open_before.receive_bytes(timeout=20) == b"its own process serves it on"
        assert sum("websockify ended with status -9" in record.getMessage() for record in caplog.records) == 1
        await open_before.close()
        await socket.close()


async def test_websockify_runs_unprivileged_with_a_clean_environment_and_a_private_socket() -> None:
    async with console() as node:
        path = await node.websockify.ready()
        assert (await asyncio.to_thread(path.stat)).st_mode & 0o777 == 0o600
        status = await asyncio.to_thread(Path(f"/proc/{node.websockify.pid}/status").read_text)
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["NoNewPrivs"] == "1"
        if os.geteuid() == 0:
            assert "0" not in fields["Uid"].split()
            assert int(fields["CapEff"], 16) == 0
            environment = await asyncio.to_thread(Path(f"/proc/{node.websockify.pid}/environ").read_bytes)
            assert environment == b"PATH=/usr/bin:/bin\0"


async def test_a_websockify_run_by_the_unit_s_own_command_trusts_each_new_agent() -> None:
    unit = Path(__file__).parents[3] / "systemd" / "horcrux-console.service"
    lines = (await asyncio.to_thread(unit.read_text)).splitlines()
    command = next(line for line in lines if line.startswith("ExecStart=")).removeprefix("ExecStart=")
    async with short_folder() as folder, AsyncExitStack() as stack:
        screen = Screen(str(folder / "vnc"), b"hello")
        await screen.open()
        stack.push_async_callback(screen.close)
        arguments = command.replace("/run/horcrux-console", str(folder)).split()[1:]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "websockify", *arguments, stderr=asyncio.subprocess.DEVNULL
        )
        stack.push_async_callback(process.wait)
        stack.callback(process.kill)
        files = BlockingPool("console-files")
        stack.push_async_callback(asyncio.to_thread, files.close)
        for _ in range(2):
            gate = WebsockifyUnit(
                socket=folder / "ws.sock", key_file=folder / "console.pub", clock=SystemClock(), files=files
            )
            async with gate:
                assert await first_bytes(await came_up(gate), gate.sign(str(folder / "vnc"))) == b"hello"


async def came_up(gate: WebsockifyUnit) -> Path:
    """Its socket, once it takes connections."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await gate.ready()
            except Unavailable:
                await asyncio.sleep(0.01)


AGENT = """
import asyncio, sys
from pathlib import Path
from agent.blocking import BlockingPool
from agent.console.websockify import Websockify
from cluster.clock import SystemClock

async def main():
    folder = Path(sys.argv[1])
    async with Websockify(folder=folder / "c", key_file=folder / "k", user=sys.argv[2] or None, clock=SystemClock(),
                          files=BlockingPool("files")) as websockify:
        await websockify.ready()
        print(websockify.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_killing_the_agent_ends_websockify() -> None:
    async with short_folder() as folder:
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", AGENT, str(folder), unprivileged_user() or "", stdout=asyncio.subprocess.PIPE
        )
        try:
            assert agent.stdout is not None
            async with asyncio.timeout(30):
                pid = int(await agent.stdout.readline())
            assert await asyncio.to_thread(is_running, pid)
        finally:
            agent.kill()
            await agent.wait()
        await until(lambda: asyncio.to_thread(is_running, pid), lambda runs: not runs)


def is_running(pid: int) -> bool:
    """False also for a zombie that nobody has collected."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
