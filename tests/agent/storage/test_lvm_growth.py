"""LVM's commands in the order in which a crash between any two harms nobody; LVM is played by scripts on the PATH."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.storage.lvm_pool import LvmPoolDriver
from horcrux.errors import NoSpace
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import Health, PoolDocument, PoolType

POOL = PoolDocument(
    id=PoolId("fast"), name="fast", storage_type=PoolType.LVM, node=NodeId("n1"), target="vg", created_at=0.0
)
THIN = msgspec.structs.replace(POOL, options={"thin_pool": "thin"})
MIB = 1024**2
OLD = b"what somebody else had here"
SCRIPT = """#!/bin/sh
echo "$(basename "$0") $*" >> {folder}/said
case "$(basename "$0")" in
  lvs) cat {folder}/lvs.json;;
  vgs) cat {folder}/vgs.json;;
  lvextend) test ! -e {folder}/full || {{ echo 'Insufficient free space' >&2; exit 5; }};;
esac
"""


class Lvm:
    """A group with the volume `disk` of 1 MiB, whose device is a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device = folder / "device"
        for command in ("lvs", "vgs", "lvextend", "lvchange", "blkdiscard"):
            (folder / command).write_text(SCRIPT.format(folder=folder))
            (folder / command).chmod(0o755)
        self.device.write_bytes(bytes(MIB))
        self.is_now("horcrux.n1")

    def is_now(self, tags: str, size: int = MIB) -> None:
        rows = [self._row("disk", "-wi-a-----", size, tags)]
        self._report("lvs", "lv", rows)

    def has_thin_pool(self, attributes: str) -> None:
        self._report("lvs", "lv", [self._row("thin", attributes, MIB, "")])
        group = {
            "vg_name": "vg",
            "vg_size": MIB,
            "vg_free": 0,
            "vg_extent_size": 1,
            "vg_attr": "",
            "vg_missing_pv_count": 0,
        }
        self._report("vgs", "vg", [group])

    def said(self) -> list[str]:
        """What was done, without what was only looked at."""
        lines = (self.folder / "said").read_text().splitlines()
        return [line for line in lines if not line.startswith(("lvs", "vgs"))]

    def _row(self, name: str, attributes: str, size: int, tags: str) -> dict[str, str]:
        shared = dict.fromkeys(("pool_lv", "origin", "data_percent", "metadata_percent", "lv_health_status"), "")
        return shared | {
            "lv_name": name,
            "lv_size": str(size),
            "lv_path": str(self.device),
            "lv_tags": tags,
            "lv_attr": attributes,
        }

    def _report(self, command: str, kind: str, rows: object) -> None:
        (self.folder / f"{command}.json").write_text(json.dumps({"report": [{kind: rows}]}))


@pytest.fixture
async def lvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lvm:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return await asyncio.to_thread(Lvm, tmp_path)


@pytest.fixture
async def driver() -> AsyncIterator[LvmPoolDriver]:
    driver = LvmPoolDriver(NodeId("n1"))
    yield driver
    await driver.close()


async def test_what_a_volume_grows_by_is_marked_before_it_has_it(lvm: Lvm, driver: LvmPoolDriver) -> None:
    await driver.open(POOL)
    await driver.resize_volume(POOL, "disk", 2 * MIB)
    marked, grown = await asyncio.to_thread(lvm.said)
    assert marked == f"lvchange -q --addtag horcrux-zero-from.{MIB} vg/disk"
    assert grown == f"lvextend -q -L {2 * MIB}b vg/disk"


async def test_a_growth_that_was_cut_off_is_zeroed_by_who_finds_the_volume(lvm: Lvm, driver: LvmPoolDriver) -> None:
    await driver.open(POOL)
    await asyncio.to_thread(lvm.device.write_bytes, bytes(MIB) + OLD * 1000)
    end = MIB + len(OLD) * 1000
    await asyncio.to_thread(lvm.is_now, f"horcrux.n1,horcrux-zero-from.{MIB}", end)
    await driver.find_volume(POOL, "disk")
    zeroed, unmarked = await asyncio.to_thread(lvm.said)
    assert zeroed == f"blkdiscard --zeroout --offset {MIB} --length {end - MIB} {lvm.device}"
    assert unmarked == f"lvchange -q --deltag horcrux-zero-from.{MIB} vg/disk"


async def test_a_growth_that_found_no_space_leaves_a_volume_that_can_be_used(lvm: Lvm, driver: LvmPoolDriver) -> None:
    await driver.open(POOL)
    await asyncio.to_thread((lvm.folder / "full").touch)
    with pytest.raises(NoSpace):
        await driver.resize_volume(POOL, "disk", 2 * MIB)
    await asyncio.to_thread(lvm.is_now, f"horcrux.n1,horcrux-zero-from.{MIB}")
    assert (await driver.find_volume(POOL, "disk")).capacity_bytes == MIB
    assert not [line for line in await asyncio.to_thread(lvm.said) if line.startswith("blkdiscard")]


@pytest.mark.parametrize(("attributes", "health"), [("twi-aotz--", Health.GOOD), ("twi-aot---", Health.DEGRADED)])
async def test_a_thin_pool_that_does_not_zero_is_told_of(
    lvm: Lvm, driver: LvmPoolDriver, attributes: str, health: Health
) -> None:
    await asyncio.to_thread(lvm.has_thin_pool, attributes)
    await driver.open(THIN)
    seen = await driver.look(THIN)
    assert seen.health is health
    assert bool([problem for problem in seen.problems if "does not zero" in problem]) == (health is not Health.GOOD)
