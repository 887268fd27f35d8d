"""How long a snapshot of a running VM stalls its guest's writes, beside virsh, on qcow2 with some GiB allocated.

sudo ./dev bench snapshot_stall [COUNT] [GIB]      COUNT snapshots of each kind (5), GIB of allocated clusters (2)

The guest writes and syncs 4 KiB without end and tells of each write on its serial line with its own clock. A stall is the
longest time between two writes around a snapshot: by the guest's clock, and by ours at the other end of the serial line, since
the guest's clock stands still with its processors. `idle` is the same without a snapshot: what the machine does to it anyway.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.agent_image import MEMORY_MB, agent_image
from tests.support.agent_process import AgentProcess, agent_process

LIMIT_MS = 500
QUIET_S = 1.5
"""Watched before and after each act."""
BOOT_S = 300
_BEAT = re.compile(rb"beat (\d+) (\d+) (\d+)\r?\n")
Act = Callable[[], Awaitable[None]]


class Beats:
    """Reads what the guest tells of its writes, from now on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = log.stat().st_size
        self._rest = b""
        self._heard_at: float | None = None
        self.guest_ms = 0.0
        self.our_ms = 0.0
        self.count = 0

    def read(self) -> None:
        with self._log.open("rb") as stream:
            stream.seek(self._offset)
            new = stream.read()
        self._offset += len(new)
        whole, newline, self._rest = (self._rest + new).rpartition(b"\n")
        now = time.monotonic()
        for _number, _clock, gap in _BEAT.findall(whole + newline):
            self.count += 1
            if self.count > 1:  # the first one began before we listened
                self.guest_ms = max(self.guest_ms, int(gap) * 10.0)
        if newline:
            if self._heard_at is not None:
                self.our_ms = max(self.our_ms, (now - self._heard_at) * 1000)
            self._heard_at = now


async def stall(log: Path, act: Act) -> tuple[float, float]:
    """Longest time without a write around `act`, in ms: by the guest's clock, by ours."""
    beats = Beats(log)
    doing: asyncio.Task[None] | None = None
    begun = time.monotonic()
    end = None
    while end is None or time.monotonic() < end or beats.count < 3:
        await asyncio.to_thread(beats.read)
        if doing is None and time.monotonic() - begun > QUIET_S:
            doing = asyncio.ensure_future(act())
        elif doing is not None and end is None and doing.done():
            await doing
            end = time.monotonic() + QUIET_S
        await asyncio.sleep(0.005)
    return beats.guest_ms, beats.our_ms


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    gib = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    print(f"{count} snapshots of each kind, {gib:g} GiB allocated, load average {os.getloadavg()[0]:.1f}")
    image = await asyncio.to_thread(agent_image)
    async with agent_process() as agent, agent.session() as api:
        await boot(agent, api, image, gib)
        name = f"hx-{await asyncio.to_thread(agent.node_id)}-bench"
        log = agent.state_dir / "serial" / "bench.log"
        kinds: dict[str, Callable[[int], Act]] = {
            "idle": lambda _n: nothing,
            "horcrux, frozen by the agent": lambda n: lambda: take(api, f"frozen-{n}", freeze="always"),
            "horcrux, without freeze": lambda n: lambda: take(api, f"plain-{n}", freeze="never"),
            "virsh snapshot-create-as (pauses, saves memory)": lambda n: lambda: peer(name, f"peer-{n}"),
        }
        worst: dict[str, float] = {}
        for kind, act_of in kinds.items():
            stalls = [await stall(log, act_of(n)) for n in range(count)]
            worst[kind] = report(kind, stalls)
        ours = max(worst["horcrux, frozen by the agent"], worst["horcrux, without freeze"])
        theirs = worst["virsh snapshot-create-as (pauses, saves memory)"]
        print(f"ratio, longest silence on our clock: {ours / theirs:.3f} of virsh")
        print(f"limit {LIMIT_MS} ms in the guest: {'kept' if ours < LIMIT_MS else 'see the guest columns above'}")


def report(kind: str, stalls: list[tuple[float, float]]) -> float:
    """The longest by our clock."""
    guest, ours = [g for g, _ in stalls], [o for _, o in stalls]
    print(
        f"{kind:48} guest's clock: median {median(guest):5.0f} ms, max {max(guest):5.0f} ms   "
        f"our clock: median {median(ours):5.0f} ms, max {max(ours):5.0f} ms"
    )
    return max(ours)


async def nothing() -> None:
    """No snapshot is taken."""


async def take(api: aiohttp.ClientSession, name: str, **order: str) -> None:
    async with api.post("/api/vms/bench/snapshots", json={"name": name, **order}) as answer:
        if answer.status != 201:
            raise RuntimeError(await answer.text())


async def peer(domain: str, name: str) -> None:
    words = ["virsh", "-q", "snapshot-create-as", domain, name]
    await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)
    forget = ["virsh", "-q", "snapshot-delete", "--metadata", domain, name]
    await asyncio.to_thread(subprocess.run, forget, check=True, capture_output=True)


async def boot(agent: AgentProcess, api: aiohttp.ClientSession, image: Path, gib: float) -> None:
    """VM `bench` runs, its agent answers; its second disk has `gib` GiB of clusters that are not the file system's."""
    content = await asyncio.to_thread(image.read_bytes)
    async with api.put("/api/storage/local/images/agent.qcow2", data=content) as answer:
        assert answer.status == 201, await answer.text()
    disks = [{"image": "agent.qcow2"}, {"size_gb": 0.25}, {"size_gb": gib + 0.5}]
    order = {"id": "bench", "memory_mb": MEMORY_MB, "nics": [], "disks": disks}
    async with api.post("/api/vms", json=order) as answer:
        assert answer.status == 201, await answer.text()
    path = agent.state_dir / "pools" / "local" / "bench-disk2.qcow2"
    writes = [word for at in range(0, int(gib * 1024), 128) for word in ("-c", f"write -q -P 7 {at}M 128M")]
    await asyncio.to_thread(subprocess.run, ["qemu-io", "-f", "qcow2", *writes, str(path)], check=True)
    async with api.post("/api/vms/bench/start") as answer:
        assert answer.status == 200, await answer.text()
    name = f"hx-{await asyncio.to_thread(agent.node_id)}-bench"
    ask = ["virsh", "-q", "qemu-agent-command", "--timeout", "5", name, '{"execute":"guest-ping"}']
    async with asyncio.timeout(BOOT_S):
        while (await asyncio.to_thread(subprocess.run, ask, capture_output=True)).returncode != 0:
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(main())
