"""Snapshots of VMs whose disks lie in pools of several kinds, on a whole node in memory."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.compute.fake_snapshots import FakeSnapshots
from agent.ground import Drivers, Ground
from agent.storage.fake import FakeStorageDriver
from horcrux.compute.vm import RunState
from horcrux.errors import Unavailable
from horcrux.ids import VmId
from horcrux.storage.pool import PoolType
from tests.support.api import Api
from tests.support.node import FakeHost, FakeNode, fake_node
from tests.support.waiting import eventually

VM = VmId("mixed")
BASE = "/api/vms/mixed/snapshots"


class TwoPools(FakeHost):
    """A host whose pools of type zfs do as ZFS does."""

    async def open(self, ground: Ground) -> Drivers:
        opened = await super().open(ground)
        zfs = opened.pools[PoolType.ZFS]
        if zfs is opened.pools[PoolType.DIR]:
            zfs = FakeStorageDriver(is_like_zfs=True)
        self.drivers = msgspec.structs.replace(opened, pools={**opened.pools, PoolType.ZFS: zfs})
        return self.drivers

    @property
    def guests(self) -> FakeSnapshots:
        assert self.drivers is not None
        assert isinstance(self.drivers.guest_snapshots, FakeSnapshots)
        return self.drivers.guest_snapshots


@pytest.fixture
def host() -> TwoPools:
    return TwoPools()


@pytest.fixture
async def node(tmp_path: Path, host: TwoPools) -> AsyncIterator[FakeNode]:
    async with fake_node(tmp_path, host) as node:
        yield node


@pytest.fixture
async def api(node: FakeNode) -> AsyncIterator[Api]:
    """Of a node that has VM `mixed` with a disk in a folder and one on ZFS; it runs."""
    async with node.session() as session:
        api = Api(session)
        await api.post("/api/storage", {"id": "tank", "storage_type": "zfs", "target": "tank/vms"}, 201)
        disks = [{"size_gb": 1}, {"size_gb": 1, "storage_pool": "tank"}]
        await api.make(VM, disks=disks, start=True)
        yield api


async def kept(api: Api) -> tuple[list[str], list[str]]:
    """Names of the snapshots that the two volumes have."""
    found = []
    for pool, volume in (("local", "mixed-disk0"), ("tank", "mixed-disk1")):
        rows = await api.get(f"/api/storage/{pool}/volumes/{volume}/snapshots")
        found.append([row["name"] for row in rows])
    return found[0], found[1]


async def test_disks_of_several_pools_are_of_one_time_since_the_guest_stands_still(api: Api, host: TwoPools) -> None:
    taken = await api.post(BASE, {"name": "a"}, 201)
    assert (host.guests.holds, host.guests.freezes, taken["is_consistent"]) == (1, 0, False)
    assert (await api.get("/api/vms/mixed"))["status"] == "running"
    host.guests.agents.add(VM)
    taken = await api.post(BASE, {"name": "b"}, 201)
    assert (host.guests.holds, host.guests.freezes, taken["is_consistent"]) == (1, 1, True)
    assert await kept(api) == (["a", "b"], ["a", "b"])


async def test_disks_of_one_pool_need_no_hold(api: Api, host: TwoPools) -> None:
    await api.make("plain", disks=[{"size_gb": 1}, {"size_gb": 1}], start=True)
    await api.post("/api/vms/plain/snapshots", {"name": "a"}, 201)
    await api.make("zfs", disks=[{"size_gb": 1, "storage_pool": "tank"}] * 2, start=True)
    await api.post("/api/vms/zfs/snapshots", {"name": "a"}, 201)
    assert host.guests.holds == 0


async def test_on_zfs_newer_snapshots_are_named_before_anything_is_touched(api: Api) -> None:
    for name in ("a", "b", "c"):
        await api.post(BASE, {"name": name}, 201)
    refused = await api.post(f"{BASE}/a/revert", {}, 409)
    assert (refused["code"], refused["volume"], refused["snapshots"]) == ("conflict", "mixed-disk1", ["b", "c"])
    shown = await api.get("/api/vms/mixed")
    assert (shown["status"], shown["reverting"]) == ("running", None)
    await api.delete(f"{BASE}/b")
    await api.delete(f"{BASE}/c")
    assert (await api.post(f"{BASE}/a/revert", {}))["status"] == "running"


async def test_a_pool_that_fails_leaves_no_snapshot_and_a_guest_that_goes_on(
    api: Api, host: TwoPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.drivers is not None
    zfs = host.drivers.pools[PoolType.ZFS]
    assert isinstance(zfs, FakeStorageDriver)

    async def fail(*_args: object) -> None:
        assert (await host.hypervisor.look(VM)).state is RunState.PAUSED
        raise Unavailable("the disk is gone")

    ability = type(zfs.snapshots(None))  # type: ignore[arg-type]  # the fake asks for no pool
    with monkeypatch.context() as patch:
        patch.setattr(ability, "snapshot_volumes", fail)
        refused = await api.post(BASE, {"name": "a"}, 503)
    assert "the disk is gone" in refused["error"]
    assert (await api.get("/api/vms/mixed"))["status"] == "running"
    assert (await api.get(BASE), await kept(api)) == ([], ([], []))
    await api.post(BASE, {"name": "a"}, 201)


async def test_a_raw_file_is_refused_by_the_disk_s_name(api: Api, tmp_path: Path) -> None:
    """It came there by a move, say."""
    await api.post("/api/storage", {"id": "other", "storage_type": "dir", "target": str(tmp_path / "other")}, 201)
    await api.make("raw", disks=[{"size_gb": 1}, {"size_gb": 1}])
    await api.post("/api/vms/raw/disks/disk1/move", {"storage_pool": "other", "format": "raw"})
    refused = await api.post("/api/vms/raw/snapshots", {"name": "a"}, 409)
    assert (refused["disk"], "move it to a qcow2 volume" in refused["error"]) == ("disk1", True)


async def test_a_thaw_that_fails_is_tried_again_until_the_guest_takes_writes(
    api: Api, host: TwoPools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when libvirt is away, and then is back."""
    host.guests.agents.add(VM)
    real = FakeSnapshots.thaw

    async def deaf(_self: FakeSnapshots, _vm_id: VmId) -> bool:
        raise Unavailable("nobody answers")

    monkeypatch.setattr(FakeSnapshots, "thaw", deaf)
    await api.post(BASE, {"name": "a"}, 503)
    assert host.guests.frozen == {VM}
    monkeypatch.setattr(FakeSnapshots, "thaw", real)
    host.hypervisor.lose()
    host.hypervisor.come_back()
    await api.until_status(VM, "running")
    await until_thawed(host)


async def until_thawed(host: TwoPools) -> None:
    await eventually(lambda: not host.guests.frozen)
