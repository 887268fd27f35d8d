"""Lists of VMs, cold start, memory and idle CPU of the agent with 1,000 defined VMs, beside Incus with 1,000 instances.

sudo ./dev bench vms [COUNT]      both in one run on this machine; Incus is left out, and said so, where it is not installed
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.agent_process import AgentProcess, agent_process
from tests.support.http_load import Address, Load, connect, cpu_s, load, rss_mb

INCUSD = Path("/usr/libexec/incus/incusd")
SECONDS = 6.0
IDLE_S = 30.0


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{count} VMs, load average {os.getloadavg()[0]:.1f}; CPU is the daemon's own, user and kernel")
    ours = await measure_ours(count)
    if INCUSD.exists():
        theirs = await measure_incus(count)
        print(f"ratio, list: CPU {ours.cpu_ms / theirs.cpu_ms:.3f}, p50 {ours.p50_ms / theirs.p50_ms:.3f} of Incus")
    else:
        wanted = "apt install -t bookworm-backports --no-install-recommends incus-base incus-client"
        print(f"Incus is not installed ({wanted}): no peer in this run")


async def measure_ours(count: int) -> Load:
    async with agent_process() as agent:
        token = await agent.sign_in()
        headers = {"Authorization": f"Bearer {token}"}
        address = Address("127.0.0.1", agent.port)
        await create_vms(address, headers, count)
        listed = await load(address, "/api/vms", clients=1, seconds=SECONDS, pid=agent.pid, headers=headers)
        report("horcrux GET /api/vms, 1 client", listed)
        eight = await load(address, "/api/vms", clients=8, seconds=SECONDS, pid=agent.pid, headers=headers)
        report("horcrux GET /api/vms, 8 clients", eight)
        one = await load(address, "/api/vms/bench-7", clients=1, seconds=SECONDS, pid=agent.pid, headers=headers)
        report("horcrux GET /api/vms/{id}", one)
        print(f"horcrux RSS after load: {rss_mb(agent.pid):.0f} MB")
        await cold_starts(agent, address, headers, count)
        spent = cpu_s(agent.pid)
        await asyncio.sleep(IDLE_S)
        print(f"horcrux idle CPU over {IDLE_S:.0f} s: {(cpu_s(agent.pid) - spent) / IDLE_S * 100:.2f} %")
        return listed


async def create_vms(address: Address, headers: dict[str, str], count: int) -> None:
    times: list[float] = []

    async def creator(numbers: range) -> None:
        connection = await connect(address, headers)
        for number in numbers:
            begun = time.perf_counter()
            body = {"id": f"bench-{number}", "cpu_cores": 2, "memory_mb": 2048, "tags": ["bench", f"t{number % 7}"]}
            status, answer = await connection.request("POST", "/api/vms", body)
            if status != 201:
                raise RuntimeError(f"create: {status} {answer!r}")
            times.append((time.perf_counter() - begun) * 1000)
        connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(creator(range(i, count, 4)) for i in range(4)))
    times.sort()
    print(
        f"horcrux create {count} (diskless, 4 clients): p50 {times[len(times) // 2]:.1f} ms, "
        f"p99 {times[int(len(times) * 0.99)]:.1f} ms, total {time.perf_counter() - begun:.1f} s"
    )


async def cold_starts(agent: AgentProcess, address: Address, headers: dict[str, str], count: int) -> None:
    for _ in range(3):
        await agent.stop()
        begun = time.perf_counter()
        await agent.launch()
        seconds = await first_full_list(address, headers, count, begun)
        spent = cpu_s(agent.pid)
        print(
            f"horcrux cold start to the full list: {seconds:.2f} s ({spent:.2f} s CPU), RSS {rss_mb(agent.pid):.0f} MB"
        )


async def first_full_list(address: Address, headers: dict[str, str], count: int, begun: float) -> float:
    """Seconds until a list holds all VMs with their states known."""
    async with asyncio.timeout(60):
        while True:
            try:
                connection = await connect(address, headers)
                status, body = await connection.request("GET", "/api/vms")
                connection.close()
            except OSError:
                await asyncio.sleep(0.01)
                continue
            rows = msgspec.json.decode(body) if status == 200 else []
            if len(rows) == count and all(row["status"] == "stopped" for row in rows):
                return time.perf_counter() - begun
            await asyncio.sleep(0.01)


async def measure_incus(count: int) -> Load:
    async with incus() as (address, pid):
        connection = await connect(address)
        begun = time.perf_counter()
        for number in range(count):
            body = {"name": f"c{number}", "type": "container", "source": {"type": "none"}}
            status, answer = await connection.request("POST", "/1.0/instances", body)
            if status != 202:
                raise RuntimeError(f"Incus create: {status} {answer!r}")
            operation = msgspec.json.decode(answer)["operation"]
            await connection.request("GET", f"{operation}/wait")
        print(f"Incus create {count} (no image): total {time.perf_counter() - begun:.1f} s")
        connection.close()
        listed = await load(address, "/1.0/instances?recursion=1", clients=1, seconds=SECONDS, pid=pid)
        report("Incus   GET /1.0/instances?recursion=1, 1 client", listed)
        one = await load(address, "/1.0/instances/c7", clients=1, seconds=SECONDS, pid=pid)
        report("Incus   GET /1.0/instances/{name}", one)
        print(f"Incus RSS after load: {rss_mb(pid):.0f} MB")
        return listed


@contextlib.asynccontextmanager
async def incus() -> AsyncIterator[tuple[Address, int]]:
    """A daemon of its own with a dir pool and a profile whose root disk lies there."""
    with TemporaryDirectory(prefix="incus-", dir="/tmp") as folder:
        environment = {**os.environ, "INCUS_DIR": folder}
        log = str(Path(folder) / "log")
        daemon = await asyncio.create_subprocess_exec(
            str(INCUSD), "--group", "root", "--logfile", log, env=environment, start_new_session=True
        )
        try:
            for words in (
                ["admin", "waitready", "--timeout=60"],
                ["storage", "create", "default", "dir"],
                ["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"],
            ):
                step = await asyncio.create_subprocess_exec(
                    "incus", *words, env=environment, stdout=asyncio.subprocess.DEVNULL
                )
                if await step.wait():
                    raise RuntimeError(f"incus {' '.join(words)} failed")
            yield Address(f"{folder}/unix.socket"), daemon.pid
        finally:
            daemon.terminate()
            await daemon.wait()


def report(what: str, measured: Load) -> None:
    print(
        f"{what}: p50 {measured.p50_ms:.2f} ms, p99 {measured.p99_ms:.2f} ms, {measured.per_s:.0f}/s, "
        f"CPU {measured.cpu_ms:.2f} ms per request, body {measured.body_bytes} B"
    )


if __name__ == "__main__":
    asyncio.run(main())
