"""Between two runs the disks change: what is new arrives whole, what is gone is left at the peer, what has grown has grown."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agent import assembly_replication
from agent.compute.registry import VmRegistry
from horcrux.compute.vm import Disk
from tests.support.replication import DISK, VM, Pair, pair

MORE = "web-disk1"
SIZE = 1 << 30


class Disks:
    """The VM's disks as replication is told of them: those of its document that are in `wanted`."""

    def __init__(self) -> None:
        self.wanted: set[str] = {DISK, MORE}

    def of(self, registry: VmRegistry, vm_id: str) -> Sequence[Disk]:
        return [d for d in registry.find(vm_id).document.value.spec.disks if d.volume in self.wanted]


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    disks = Disks()
    monkeypatch.setattr(assembly_replication, "_disks", disks.of)
    return disks


@pytest.fixture
async def nodes(tmp_path: Path, disks: Disks) -> AsyncIterator[Pair]:
    async with pair(tmp_path, disks=("tank", "tank")) as nodes:
        for volume in (DISK, MORE):
            await nodes.source.write(1, 2, volume=volume, content=volume.encode())
        await nodes.replicate()
        yield nodes


async def replicas(nodes: Pair) -> dict[str, str]:
    return {v["name"]: v["replica_of"] for v in await nodes.target.api.get("/api/storage/tank/volumes")}


async def test_a_disk_that_is_new_arrives_whole_and_the_others_send_what_changed(nodes: Pair, disks: Disks) -> None:
    disks.wanted = {DISK}
    await nodes.run()
    assert set(await replicas(nodes)) == {DISK}
    disks.wanted = {DISK, MORE}
    done = await nodes.run()
    for volume in (DISK, MORE):
        assert await nodes.target.digest(volume) == await nodes.source.digest(volume)
        assert await nodes.target.snapshots(volume) == [done["snapshot"]]


async def test_a_disk_that_is_gone_is_left_at_the_peer_and_nothing_of_ours_stays_here(
    nodes: Pair, disks: Disks
) -> None:
    await nodes.run()
    disks.wanted = {DISK}
    await nodes.source.write(7)
    await nodes.run()
    assert await nodes.target.digest() == await nodes.source.digest()
    assert (await nodes.source.bookmarks(MORE), await nodes.source.snapshots(MORE)) == ([], [])
    assert set(await replicas(nodes)) == {DISK, MORE}, "an operator decides"
    await nodes.target.api.delete(f"/api/storage/tank/volumes/{MORE}")
    await nodes.target.api.delete(f"/api/storage/tank/volumes/{DISK}", status=409)


async def test_a_disk_that_goes_while_its_stream_is_cut_off_does_not_stop_the_others(nodes: Pair, disks: Disks) -> None:
    await nodes.source.write(*range(300), volume=MORE)
    await nodes.cut_run(after=250)
    disks.wanted = {DISK}
    await nodes.source.node.remove_volume("tank", MORE)
    await nodes.run()
    assert await nodes.target.digest() == await nodes.source.digest()
    assert set(await replicas(nodes)) == {DISK}, "half a volume is of no use to anybody"


async def test_a_disk_that_comes_while_a_stream_is_cut_off_arrives_with_the_rest(nodes: Pair, disks: Disks) -> None:
    disks.wanted = {DISK}
    await nodes.source.write(*range(300))
    await nodes.cut_run(after=250)
    disks.wanted = {DISK, MORE}
    done = await nodes.run()
    for volume in (DISK, MORE):
        assert await nodes.target.digest(volume) == await nodes.source.digest(volume)
        assert await nodes.target.snapshots(volume) == [done["snapshot"]]
        assert await nodes.source.bookmarks(volume) == [done["snapshot"]]
        assert await nodes.source.snapshots(volume) == []


async def test_an_end_in_the_middle_of_the_first_stream_leaves_no_half_volume(nodes: Pair) -> None:
    await nodes.source.write(*range(300))
    await nodes.cut_run(after=250)
    await nodes.source.api.delete(f"/api/replications/{VM}")
    assert await replicas(nodes) == {}


async def test_an_end_in_the_middle_of_a_later_stream_leaves_what_was_whole(nodes: Pair) -> None:
    done = await nodes.run()
    before = await nodes.target.digest()
    await nodes.source.write(*range(300))
    await nodes.cut_run(after=250)
    await nodes.source.api.delete(f"/api/replications/{VM}")
    assert await nodes.target.digest() == before
    assert await nodes.target.snapshots() == [done["snapshot"]]
    await nodes.target.api.delete(f"/api/storage/tank/volumes/{DISK}")


async def test_a_disk_that_comes_back_goes_on_from_what_was_left(nodes: Pair, disks: Disks) -> None:
    await nodes.run()
    disks.wanted = {DISK}
    await nodes.run()
    disks.wanted = {DISK, MORE}
    refused = await nodes.run(status=409)
    assert MORE in refused["error"]
    await nodes.target.api.delete(f"/api/storage/tank/volumes/{MORE}")
    await nodes.run()
    assert await nodes.target.digest(MORE) == await nodes.source.digest(MORE)


async def test_a_disk_that_grew_has_grown_there(nodes: Pair) -> None:
    await nodes.run()
    await nodes.source.api.post(f"/api/vms/{VM}/disks/disk0/resize", {"size_gb": 2})
    await nodes.run()
    sizes = {v["name"]: v["capacity_bytes"] for v in await nodes.target.api.get("/api/storage/tank/volumes")}
    assert sizes == {DISK: 2 * SIZE, MORE: SIZE}
