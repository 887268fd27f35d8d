"""A program for a guest of the lab whose power is cut: it changes volumes through the ZFS driver until it dies, and tells
before each act what it begins; after the next boot `check` finds out whether anything was lost.

    python -m tests.support.zfs_churn clone|snapshot|fill|receive      python -m tests.support.zfs_churn check <act> <n>…
"""

import asyncio
import itertools
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from agent.storage.zfs import ZfsDriver
from agent.storage.zfs_link import ZfsLink
from horcrux.errors import NotFound
from horcrux.storage.pool import Health
from horcrux.units import MIB
from tests.support.storage_drivers import holds, write
from tests.support.zfs import NODE, sh, zfs_pool

POOL = zfs_pool("tank/vms")
FOLDER = Path("/var/lib/churn")
SIZE_BYTES = 16 * MIB


def say(words: str) -> None:
    print(words, flush=True)


def ignore(_fraction: float) -> None:
    pass


async def prepare(driver: ZfsDriver) -> None:
    """A base with known content, a volume with another, and a file to fill from."""
    if [v.name for v in await driver.list_volumes(POOL)]:
        return
    await write(await driver.create_volume(POOL, "disk0", SIZE_BYTES, "raw"), "b")
    await driver.clones(POOL).make_base(POOL, "disk0", "base0")
    volume = await driver.create_volume(POOL, "kept", SIZE_BYTES, "raw")
    await write(volume, "k")
    await sh(f"head -c 8M /dev/urandom | dd of={volume.path} bs=1M seek=4 oflag=direct status=none")
    await sh(f"head -c {SIZE_BYTES} /dev/urandom > {FOLDER}/source; sync")
    await driver.streams.snapshot(["tank/vms/kept@sent"])
    await sh("zpool sync tank")


async def clone(driver: ZfsDriver, n: int) -> None:
    await driver.clones(POOL).clone_volume(POOL, "base0", f"clone-{n}")
    if n % 3 == 0:
        await driver.delete_volume(POOL, f"clone-{n}")


async def snapshot(driver: ZfsDriver, n: int) -> None:
    ability = driver.snapshots(POOL)
    await ability.snapshot_volumes(POOL, ["base0", "kept"], f"s{n}")
    if n % 2 == 0:
        await ability.delete_snapshot(POOL, "kept", f"s{n}")


async def fill(driver: ZfsDriver, n: int) -> None:
    await driver.fill_volume(POOL, f"filled-{n}", f"{FOLDER}/source", "raw", "raw", ignore)


async def receive(driver: ZfsDriver, n: int) -> None:
    reading, writing = os.pipe()

    async def send() -> None:
        try:
            await driver.streams.send("tank/vms/kept@sent", writing)
        finally:
            os.close(writing)

    await asyncio.gather(send(), driver.streams.receive(f"tank/vms/received-{n}@sent", reading))
    os.close(reading)


ACTS: dict[str, Callable[[ZfsDriver, int], Awaitable[None]]] = {
    "clone": clone,
    "snapshot": snapshot,
    "fill": fill,
    "receive": receive,
}


async def churn(driver: ZfsDriver, act: str) -> None:
    """Until the power is cut."""
    await driver.open(POOL)
    await prepare(driver)
    for n in itertools.count():
        say(f"begin {act} {n}")
        await ACTS[act](driver, n)
        say(f"done {act} {n}")


async def check_done(driver: ZfsDriver, act: str, numbers: list[int]) -> None:
    """What was finished before the cut is there; its content is looked at with that of the others."""
    there = {v.name for v in await driver.list_volumes(POOL)}
    match act:
        case "clone":
            assert {f"clone-{n}" for n in numbers if n % 3} <= there, (numbers, there)
        case "fill":
            assert {f"filled-{n}" for n in numbers} <= there, (numbers, there)
        case "snapshot":
            snapshots = {s.name for s in await driver.snapshots(POOL).list_snapshots(POOL, "base0")}
            assert {f"s{n}" for n in numbers} <= snapshots, (numbers, snapshots)
        case "receive":
            for n in numbers:
                received = f"{POOL.target}/received-{n}"
                await sh(f"zfs list {received}@sent && cmp /dev/zvol/{received} /dev/zvol/{POOL.target}/kept")


async def check(driver: ZfsDriver, act: str, numbers: list[int]) -> None:
    """What was whole is whole, what was cut off is no volume and can be removed, and the zpool is clean."""
    await driver.open(POOL)
    await check_done(driver, act, numbers)
    volumes = {v.name: v for v in await driver.list_volumes(POOL)}
    assert await holds(volumes["base0"], "b")
    assert await holds(volumes["kept"], "k")
    for name, volume in volumes.items():
        assert (await driver.find_volume(POOL, name)).capacity_bytes == SIZE_BYTES, name
        if name.startswith("clone-"):
            assert volume.base == "base0"
            assert await holds(volume, "b")
        if name.startswith("filled-"):
            await sh(f"cmp {FOLDER}/source {volume.path}")
    snapshots = driver.snapshots(POOL)
    both = [{s.name for s in await snapshots.list_snapshots(POOL, name)} for name in ("base0", "kept")]
    assert both[1] - {"sent"} <= both[0], f"a snapshot of one instant is of one volume only: {both}"
    await check_leftovers(driver, set(volumes))
    await sh("zpool scrub -w tank")
    seen = await driver.look(POOL)
    assert (seen.is_active, seen.health, seen.problems) == (True, Health.GOOD, ()), seen
    for name in sorted(volumes, reverse=True):  # clones before what they stand on
        await driver.delete_volume(POOL, name)
    assert await driver.list_volumes(POOL) == []
    say("clean")


async def check_leftovers(driver: ZfsDriver, whole: set[str]) -> None:
    """Of cut-off fillings and receives nothing is left when it was asked to go."""
    for dataset in (await sh(f"zfs list -Hr -d 1 -t volume -o name {POOL.target}")).split():
        name = dataset.rpartition("/")[2]
        if name in whole:
            continue
        with suppress(NotFound):
            await driver.find_volume(POOL, name)
            raise AssertionError(f"{name} is found but not listed")
        await driver.streams.abort_receive(dataset)
        await driver.delete_volume(POOL, name)
        if name.startswith("received-"):  # carries no mark of ours: whoever received it takes it away
            await sh(f"! zfs list {dataset} 2>/dev/null || zfs destroy -r {dataset}")
    left = (await sh(f"zfs list -Hr -d 1 -t volume -o name {POOL.target}")).split()
    assert {dataset.rpartition("/")[2] for dataset in left} == whole


async def main(word: str, act: str = "", *numbers: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    link = ZfsLink(timeout_s=300)
    driver = ZfsDriver(NODE, mounts=FOLDER / "mounts", let_qemu_in=lambda _path: None, link=link)
    try:
        await (check(driver, act, [int(n) for n in numbers]) if word == "check" else churn(driver, word))
    finally:
        await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
