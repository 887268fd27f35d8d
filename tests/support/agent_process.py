"""A real agent as a process of its own, on loopback and a state folder of its own."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp

import aiohttp
import msgspec

from tests.support.waiting import until

PASSWORD = "correct horse battery"
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class AgentProcess:
    """Starts, kills, stops one agent; its state folder outlives the process, so that it can be started again."""

    def __init__(self, state_dir: Path, environment: Mapping[str, str] | None = None) -> None:
        self.state_dir = state_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = state_dir.parent / f"{state_dir.name}.log"
        self._environment = dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self._token = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, **more: str) -> None:
        """Running; returns when /healthz answers. `more` are HORCRUX_ settings of this start."""
        await self.launch(**more)
        await self.until_healthy()

    async def launch(self, **more: str) -> None:
        settings = {
            "HORCRUX_STATE_DIR": str(self.state_dir),
            "HORCRUX_LISTEN": f"127.0.0.1:{self.port}",
            "HORCRUX_ADMIN_PASSWORD": PASSWORD,
            "HORCRUX_RATE_LIMIT": "off",
            "HORCRUX_NODE_NAME": "testnode",
            **self._environment,
            **{f"HORCRUX_{k.upper()}": v for k, v in more.items()},
        }
        output = await asyncio.to_thread(self.log.open, "ab")
        with output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "agent.main",
                cwd=ROOT,
                env={**os.environ, **settings},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def until_healthy(self, seconds: float = 60) -> None:
        async with aiohttp.ClientSession() as session:

            async def is_healthy() -> bool:
                assert self._process is not None
                if self._process.returncode is not None:
                    raise RuntimeError(f"the agent ended with {self._process.returncode}:\n{await self.read_log()}")
                try:
                    async with session.get(f"{self.url}/healthz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(is_healthy, timeout_s=seconds)

    async def read_log(self) -> str:
        return await asyncio.to_thread(self.log.read_text)

    async def wait_dead(self, seconds: float = 60) -> int:
        """The exit status once it has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, as systemd does."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self.wait_dead()

    async def sign_in(self, username: str = "admin", password: str = PASSWORD) -> str:
        """A bearer token."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/api/auth/login", json={"username": username, "password": password}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            body = msgspec.json.decode(await answer.read(), type=dict[str, object])
            return str(body["token"])

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A client that is signed in as admin; paths are below the agent's address."""
        if not self._token:
            self._token = await self.sign_in()
        headers = {"Authorization": f"Bearer {self._token}"}
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(self.url, headers=headers, timeout=timeout) as session:
            yield session

    def node_id(self) -> str:
        """Reads a file, so it blocks; an async test asks through `asyncio.to_thread`."""
        return str(msgspec.json.decode((self.state_dir / "node.json").read_bytes(), type=dict[str, str])["id"])


@asynccontextmanager
async def agent_process(**settings: str) -> AsyncIterator[AgentProcess]:
    """An agent that has been started; afterwards it, its guests, its pools and its folders are gone."""
    folder = Path(await asyncio.to_thread(mkdtemp, prefix="hx-", dir="/tmp"))
    agent = AgentProcess(folder / "state", {f"HORCRUX_{k.upper()}": v for k, v in settings.items()})
    try:
        await agent.start()
        yield agent
    finally:
        await agent.kill()
        await asyncio.to_thread(_remove, agent, folder)


def _remove(agent: AgentProcess, folder: Path) -> None:
    if (folder / "state" / "node.json").exists():
        remove_node(agent.node_id())
    shutil.rmtree(folder)


def remove_node(node_id: str) -> None:
    """No domain and no pool of that node is known to libvirt any more. Blocks."""
    import libvirt

    connection = libvirt.open("qemu:///system")
    try:
        for domain in connection.listAllDomains():
            if domain.name().startswith(f"hx-{node_id}-"):
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
        for pool in connection.listAllStoragePools():
            if pool.name().startswith(f"hx-{node_id}-"):
                if pool.isActive():
                    pool.destroy()
                pool.undefine()
    finally:
        connection.close()
    shutil.rmtree(Path("/run/horcrux") / node_id, ignore_errors=True)
