"""A linked clone of a 10 GiB template: through our ZFS driver, beside the bare `zfs clone`, in turns on the same zpool.

    python tests/bench/zfs_clone.py [--zpool NAME] [--rounds 20]

Needs ZFS, root and the udev of a real host: run it where VMs will run. Without --zpool one is made on a sparse file in /var/tmp
and destroyed at the end. In guests of the lab it works but its times mean nothing (no KVM); the ratio is the figure there.

Ours returns when the clone's device can be opened; `zfs clone` returns before there is one, so both are also shown with the
wait for the device. The goal is about the first pair: ours <= 1.5 x bare + 100 ms.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from agent.storage.zfs import ZfsDriver
from agent.storage.zfs_device import wait_for_device
from agent.storage.zfs_link import ZfsLink
from horcrux.errors import HorcruxError
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.units import GIB

NODE = NodeId("nbe0c4e00")
GOAL_RATIO, GOAL_EXTRA_S = 1.5, 0.1


def command(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


@asynccontextmanager
async def zpool(given: str | None, folder: Path) -> AsyncIterator[str]:
    if given is not None:
        yield given
        return
    name = "bench" + secrets.token_hex(3)
    await asyncio.to_thread(command, "truncate", "-s", "20G", str(folder / "disk"))
    await asyncio.to_thread(command, "zpool", "create", "-O", "mountpoint=none", name, str(folder / "disk"))
    try:
        yield name
    finally:
        await asyncio.to_thread(command, "zpool", "destroy", "-f", name)


async def timed(call: Awaitable[object]) -> float:
    before = time.perf_counter()
    await call
    return time.perf_counter() - before


async def measure(driver: ZfsDriver, link: ZfsLink, pool: PoolDocument, rounds: int) -> dict[str, list[float]]:
    """Seconds by way: ours, bare, and bare with the wait for its device."""
    await driver.create_volume(pool, "template", 10 * GIB, "raw")
    await driver.clones(pool).make_base(pool, "template", "base-template")
    took: dict[str, list[float]] = {"ours": [], "zfs clone": [], "zfs clone, device there": []}
    origin = f"{pool.target}/base-template@__base__"
    for n in range(rounds + 1):
        dataset = f"{pool.target}/bare-{n}"
        ours = await timed(driver.clones(pool).clone_volume(pool, "base-template", f"ours-{n}"))
        bare = await timed(asyncio.to_thread(command, "zfs", "clone", origin, dataset))
        there = await timed(wait_for_device(link, dataset))
        if n:  # the first round loads the library and warms the caches
            for way, seconds in zip(took, (ours, bare, bare + there), strict=True):
                took[way].append(seconds)
        await driver.delete_volume(pool, f"ours-{n}")
        await asyncio.to_thread(command, "zfs", "destroy", dataset)
    await driver.delete_volume(pool, "base-template")
    return took


async def main(given: str | None, rounds: int) -> int:
    link = ZfsLink()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        driver = ZfsDriver(NODE, mounts=folder / "mounts", let_qemu_in=lambda _path: None, link=link)
        async with zpool(given, folder) as tank:
            pool = PoolDocument(
                id=PoolId("bench"),
                name="bench",
                storage_type=PoolType.ZFS,
                node=NODE,
                target=f"{tank}/bench-{secrets.token_hex(3)}",
                created_at=time.time(),
            )
            await driver.open(pool)
            try:
                took = await measure(driver, link, pool, rounds)
            finally:
                await driver.remove(pool)
                await asyncio.to_thread(command, "zfs", "destroy", "-r", pool.target)
        await driver.close()
    return show(took)


def show(took: dict[str, list[float]]) -> int:
    median = {way: statistics.median(seconds) for way, seconds in took.items()}
    for way, seconds in took.items():
        print(f"{way:26} median {median[way] * 1000:8.1f} ms   worst {max(seconds) * 1000:8.1f} ms   n={len(seconds)}")
    ours, bare = median["ours"], median["zfs clone"]
    allowed = GOAL_RATIO * bare + GOAL_EXTRA_S
    print(f"ratio ours / zfs clone       {ours / bare:.2f}")
    print(f"ratio ours / with its device {ours / median['zfs clone, device there']:.2f}")
    print(f"goal 1.5 x + 100 ms = {allowed * 1000:.1f} ms: {'met' if ours <= allowed else 'MISSED'}")
    return 0 if ours <= allowed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zpool", help="an imported zpool to use")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not Path("/dev/zfs").exists():
        print("zfs_clone needs root and a host with ZFS (/dev/zfs), such as a guest of the lab:", file=sys.stderr)
        print("see tests/lab/README.md for one, and run this file in it with --rounds 5", file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(asyncio.run(main(arguments.zpool, arguments.rounds)))
    except HorcruxError as err:
        print(f"zfs_clone: {err}", file=sys.stderr)
        sys.exit(1)
