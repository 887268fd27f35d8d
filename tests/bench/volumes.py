"""Listing the volumes of a folder pool with 1,000 qcow2 files, over the API and by the driver, beside what others need for it.

sudo ./dev bench volumes [COUNT]      all in one run: virsh vol-list, qemu-img info, and Incus where it is installed
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from agent.storage.libvirt_pool import LibvirtPoolDriver
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from tests.bench.vms import INCUSD, SECONDS, incus, report
from tests.support.agent_process import agent_process
from tests.support.http_load import Address, Load, connect, load

WANTED_MS = 50
ROUNDS = 20


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{count} qcow2 volumes, load average {os.getloadavg()[0]:.1f}")
    api = await measure_api(count)
    with TemporaryDirectory(prefix="volumes-", dir="/tmp") as folder:
        driver_ms, virsh_ms, qemu_ms = await measure_driver(Path(folder) / "pool", count)
    print(f"ratio, driver: {driver_ms / virsh_ms:.3f} of virsh vol-list, {driver_ms / qemu_ms:.4f} of qemu-img info")
    print(f"ratio, API: {api.p50_ms / virsh_ms:.3f} of virsh vol-list")
    if INCUSD.exists():
        theirs = await measure_incus(count)
        print(f"ratio, API: p50 {api.p50_ms / theirs.p50_ms:.3f}, CPU {api.cpu_ms / theirs.cpu_ms:.3f} of Incus")
    else:
        print("Incus is not installed: not measured (see ./dev bench vms)")
    print(f"wanted: <= {WANTED_MS} ms; p50 over the API {api.p50_ms:.1f} ms")


async def measure_api(count: int) -> Load:
    async with agent_process() as agent:
        await asyncio.to_thread(make_volumes, agent.state_dir / "pools" / "local", count)
        headers = {"Authorization": f"Bearer {await agent.sign_in()}"}
        address, path = Address("127.0.0.1", agent.port), "/api/storage/local/volumes"
        connection = await connect(address, headers)
        status, body = await connection.request("GET", path)
        connection.close()
        if status != 200 or len(msgspec.json.decode(body)) != count:
            raise RuntimeError(f"list: {status} {body[:200]!r}")
        measured = await load(address, path, clients=1, seconds=SECONDS, pid=agent.pid, headers=headers)
        report(f"horcrux GET {path}, 1 client", measured)
        return measured


async def measure_driver(folder: Path, count: int) -> tuple[float, float, float]:
    """Milliseconds that our driver, virsh and qemu-img need for the same folder."""
    node = NodeId("n" + secrets.token_hex(4))
    driver = LibvirtPoolDriver("qemu:///system", node)
    pool = PoolDocument(
        id=PoolId("bench"), name="Bench", storage_type=PoolType.DIR, node=node, target=str(folder), created_at=1.0
    )
    await asyncio.to_thread(make_volumes, folder, count)
    await driver.open(pool)
    try:
        ours = await median_ms(ROUNDS, lambda: driver.list_volumes(pool))
        print(f"horcrux driver: {ours:.1f} ms")
        name = f"hx-{node}-bench"
        virsh = await median_ms(3, lambda: asyncio.to_thread(virsh_list, name, count))
        print(f"virsh pool-refresh and vol-list --details: {virsh:.0f} ms")
        qemu = await median_ms(1, lambda: asyncio.to_thread(qemu_infos, folder))
        print(f"qemu-img info, one after the other: {qemu:.0f} ms")
    finally:
        await driver.remove(pool)
        await driver.close()
    return ours, virsh, qemu


async def measure_incus(count: int) -> Load:
    async with incus() as (address, pid):
        connection = await connect(address)
        for number in range(count):
            body = {"name": f"v{number}", "type": "custom", "content_type": "filesystem"}
            status, answer = await connection.request("POST", "/1.0/storage-pools/default/volumes/custom", body)
            if status not in (200, 202):
                raise RuntimeError(f"Incus create: {status} {answer!r}")
        connection.close()
        path = "/1.0/storage-pools/default/volumes/custom?recursion=1"
        measured = await load(address, path, clients=1, seconds=SECONDS, pid=pid)
        report("Incus   GET /1.0/storage-pools/default/volumes/custom?recursion=1, 1 client", measured)
        return measured


async def median_ms(rounds: int, act: Callable[[], Awaitable[object]]) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await act()
        times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)[rounds // 2]


def make_volumes(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "vm-0-disk-0.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", first, "10G"], check=True)
    for number in range(1, count):
        shutil.copyfile(first, folder / f"vm-{number}-disk-0.qcow2")


def virsh_list(pool: str, count: int) -> None:
    virsh = ["virsh", "-q", "-c", "qemu:///system"]
    subprocess.run([*virsh, "pool-refresh", pool], check=True, capture_output=True)
    listed = subprocess.run([*virsh, "vol-list", pool, "--details"], check=True, capture_output=True, text=True)
    if len(listed.stdout.strip().splitlines()) != count:
        raise RuntimeError(f"virsh listed something else: {listed.stdout[:300]}")


def qemu_infos(folder: Path) -> None:
    for file in folder.iterdir():
        argv = ["qemu-img", "info", "--output=json", "-f", "qcow2", str(file)]
        subprocess.run(argv, check=True, capture_output=True)


if __name__ == "__main__":
    asyncio.run(main())
