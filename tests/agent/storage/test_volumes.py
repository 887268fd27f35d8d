import asyncio
from pathlib import Path

import pytest

from agent.storage.fake import FakeStorageDriver
from cluster.store.memory import MemoryStore
from horcrux.compute.vm import CloudInit
from horcrux.errors import AlreadyExists, Conflict, InUse, InvalidFields, NotFound
from horcrux.ids import PoolId, VmId
from horcrux.storage.bodies import NewPool, NewVolume, ResizeVolume, VolumeView
from horcrux.storage.volume import VolumeUse
from horcrux.units import GIB, MIB
from tests.agent.storage.bench import ADA, CUT_TASK, Bench, leave_unfinished, running
from tests.support.clock import FakeClock

LOCAL = PoolId("local")
DISK0 = VolumeUse(VmId("vm-7"), "disk0")


def ignore(_fraction: float) -> None:
    pass


async def make(bench: Bench, name: str = "a", size_gb: float = 1) -> None:
    await bench.done(await bench.service.volumes.create("local", NewVolume(name=name, size_gb=size_gb), ADA))


async def test_a_created_volume_is_listed_with_who_has_it(bench: Bench) -> None:
    result = await bench.done(await bench.service.volumes.create("local", NewVolume(name="a", size_gb=1.5), ADA))
    assert result is not None
    assert (result["name"], result["size_gb"], result["format"], result["pool"]) == ("a", 1.5, "qcow2", "local")
    bench.uses.volumes["a"] = DISK0
    (volume,) = await bench.service.volumes.views("local")
    assert (volume.capacity_bytes, volume.used_by) == (3 * GIB // 2, DISK0)
    assert bench.told("volume")[-1] == ("local/a", True)


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (NewVolume(name="../a", size_gb=1), "name"),
        (NewVolume(name="", size_gb=1), "name"),
        (NewVolume(name="a.part", size_gb=1), "name"),
        (NewVolume(name="a"), "size_gb"),
        (NewVolume(name="a", size_gb=0), "size_gb"),
        (NewVolume(name="a", size_gb=-3), "size_gb"),
        (NewVolume(name="a", size_gb=1e9), "size_gb"),
        (NewVolume(name="a", size_gb=1, format="vmdk"), "format"),
        (NewVolume(name="a", image="none"), "image"),
        (NewVolume(name="a", image="../none"), "image"),
    ],
)
async def test_a_wrong_volume_names_the_field(bench: Bench, order: NewVolume, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        await bench.service.volumes.create("local", order, ADA)
    assert [p.field for p in caught.value.problems] == [field]
    assert await bench.service.volumes.views("local") == []


async def test_a_volume_smaller_than_its_image_names_the_field(bench: Bench) -> None:
    await bench.done(await bench.upload("image", b"x" * 3 * MIB))
    with pytest.raises(InvalidFields, match="image needs at least") as caught:
        await bench.service.volumes.create("local", NewVolume(name="a", image="image", size_gb=0.001), ADA)
    assert caught.value.problems[0].field == "size_gb"


async def test_a_taken_name_is_refused_and_what_has_it_stays(bench: Bench) -> None:
    await make(bench)
    with pytest.raises(AlreadyExists, match="volume a"):
        await bench.service.volumes.create("local", NewVolume(name="a", size_gb=2), ADA)
    assert (await bench.service.volumes.find("local", "a")).capacity_bytes == GIB


async def test_a_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, driver=FakeStorageDriver(total_bytes=MIB)) as bench:
        await bench.done(await bench.upload("image", b"x" * 2 * MIB))
        task = await bench.service.volumes.create("local", NewVolume(name="a", image="image"), ADA)
        assert (await bench.failed(task))[0] == "no_space"
        assert await bench.service.volumes.views("local") == []


async def test_a_creation_that_was_cut_off_is_undone(tmp_path: Path) -> None:
    store, driver = MemoryStore(FakeClock()), FakeStorageDriver()
    async with running(tmp_path, store, driver) as bench:
        await make(bench, "a")
        await make(bench, "b")
    await leave_unfinished(tmp_path, "volume.delete", pool="local", name="a")
    async with running(tmp_path, store, driver) as bench:
        assert [volume.name for volume in await bench.service.volumes.views("local")] == ["b"]


async def test_undoing_in_a_pool_that_is_gone_is_done(tmp_path: Path) -> None:
    await leave_unfinished(tmp_path, "volume.delete", pool="gone", name="a")
    async with running(tmp_path) as bench:
        assert (await bench.engine.get(CUT_TASK)).warnings == ()


async def test_a_volume_in_use_is_not_deleted_and_its_vm_is_named(bench: Bench) -> None:
    await make(bench)
    bench.uses.volumes["a"] = DISK0
    with pytest.raises(InUse, match="disk0 of VM vm-7") as caught:
        await bench.service.volumes.delete("local", "a", ADA)
    assert caught.value.details["used_by"] == {"vm_id": "vm-7", "disk": "disk0", "template": None}
    bench.uses.volumes.clear()
    await bench.done(await bench.service.volumes.delete("local", "a", ADA))
    assert await bench.service.volumes.views("local") == []
    assert bench.told("volume")[-1] == ("local/a", False)
    with pytest.raises(NotFound, match="volume a"):
        await bench.service.volumes.delete("local", "a", ADA)


async def test_a_volume_grows_and_never_shrinks(bench: Bench) -> None:
    await make(bench)
    result = await bench.done(await bench.service.volumes.resize("local", "a", ResizeVolume(size_gb=2), ADA))
    assert result is not None
    assert result["size_gb"] == 2
    code, words = await bench.failed(await bench.service.volumes.resize("local", "a", ResizeVolume(size_gb=1), ADA))
    assert code == Conflict.code
    assert "shrink" in words


async def test_a_disk_of_a_vm_is_not_resized_behind_its_back(bench: Bench) -> None:
    await make(bench)
    bench.uses.volumes["a"] = DISK0
    with pytest.raises(InUse, match="disk0 of VM vm-7") as refused:
        await bench.service.volumes.resize("local", "a", ResizeVolume(size_gb=2), ADA)
    assert refused.value.details["used_by"] == {"vm_id": "vm-7", "disk": "disk0", "template": None}
    bench.uses.volumes.clear()
    await bench.done(await bench.service.volumes.resize("local", "a", ResizeVolume(size_gb=2), ADA))


async def test_what_is_not_there_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.service.volumes.resize("local", "none", ResizeVolume(size_gb=2), ADA)
    with pytest.raises(NotFound):
        await bench.service.volumes.create("none", NewVolume(name="a", size_gb=1), ADA)
    with pytest.raises(NotFound):
        await bench.service.has_volume(PoolId("none"), "a")


async def test_disks_come_and_go_for_vms(bench: Bench) -> None:
    service = bench.service
    assert not await service.has_volume(LOCAL, "vm-7-disk0")
    made = await service.create_disk(LOCAL, "vm-7-disk0", 5 * MIB, None, ignore)
    assert await service.has_volume(LOCAL, "vm-7-disk0")
    assert await service.find_disk(LOCAL, "vm-7-disk0") == made
    for _ in range(2):
        await service.delete_disk(LOCAL, "vm-7-disk0")
    await service.delete_disk(PoolId("gone"), "vm-7-disk0")
    assert not await service.has_volume(LOCAL, "vm-7-disk0")


async def test_a_disk_begun_from_an_image_is_as_large_as_asked(bench: Bench) -> None:
    await bench.done(await bench.upload("image", b"x" * 2 * MIB))
    service = bench.service
    assert (await service.create_disk(LOCAL, "a", None, "image", ignore)).capacity_bytes == 2 * MIB
    assert (await service.create_disk(LOCAL, "b", 9 * MIB, "image", ignore)).capacity_bytes == 9 * MIB
    with pytest.raises(InvalidFields, match="size_gb"):
        await service.create_disk(LOCAL, "c", MIB, "image", ignore)
    assert not await service.has_volume(LOCAL, "c")
    with pytest.raises(NotFound, match="nothing"):
        await service.create_disk(LOCAL, "c", MIB, "nothing", ignore)


async def test_images_are_met_at_their_path(bench: Bench) -> None:
    await bench.done(await bench.upload("image", b"x" * 512))
    path = await bench.service.image_path(LOCAL, "image")
    assert await asyncio.to_thread(Path(path).read_bytes) == b"x" * 512
    with pytest.raises(NotFound):
        await bench.service.image_path(LOCAL, "other")


async def test_a_seed_is_written_whole_for_root_only_and_goes(bench: Bench) -> None:
    vm, wanted = VmId("vm-7"), CloudInit(user="ada")
    path = Path(await bench.service.write_seed(vm, "uuid-1", 0, "web", wanted))
    first = await asyncio.to_thread(path.read_bytes)
    assert b"uuid-1-0" in first
    again = Path(await bench.service.write_seed(vm, "uuid-1", 1, "web", wanted))
    assert again == path
    assert b"uuid-1-1" in await asyncio.to_thread(path.read_bytes)
    assert (await asyncio.to_thread(path.stat)).st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(lambda: list(path.parent.iterdir())) == [path]
    assert path in bench.let_in
    for _ in range(2):
        await bench.service.delete_seed(vm)
    assert not await asyncio.to_thread(path.exists)


async def test_a_volume_begins_from_an_image_of_another_pool(bench: Bench, tmp_path: Path) -> None:
    await bench.done(await bench.service.pools.create(NewPool(id="fast", target=str(tmp_path / "fast")), ADA))
    await bench.done(await bench.upload("a.raw", b"x" * 4096))
    result = await bench.done(await bench.service.volumes.create("fast", NewVolume(name="v", image="local/a.raw"), ADA))
    assert result is not None
    assert (result["pool"], result["capacity_bytes"]) == ("fast", 4096)
    for wrong in ("a.raw", "nowhere/a.raw", "local/b.raw", "local/../a.raw", "local/a/b"):
        with pytest.raises(InvalidFields, match="image"):
            await bench.service.volumes.create("fast", NewVolume(name="w", image=wrong), ADA)


class Replicated:
    """`ReplicaRules` by which every volume is a replica that may go."""

    def replica_of(self, pool: str, volume: str) -> str | None:
        return "beta/vm-1"

    def check_deletable(self, pool: str, volume: str) -> None:
        pass

    def check_writable(self, pool: str, volume: str) -> None:
        raise InUse(f"volume {volume} is a replica")

    async def deleted(self, pool: str, volume: str) -> None:
        pass


async def test_listeners_hear_what_stands_on_a_base_and_whose_replica_a_volume_is(bench: Bench) -> None:
    await make(bench, "disk0")
    await bench.service.make_base(LOCAL, "disk0", "base0")
    bench.service.volumes.replicas = Replicated()
    await bench.service.link_disk(LOCAL, "base0", "one")
    await bench.service.volumes.tell("local", "base0")
    told = [body for kind, _, body, _ in bench.events.events if kind == "volume" and isinstance(body, VolumeView)]
    assert [(view.name, view.clones, view.replica_of) for view in told[-2:]] == [
        ("one", (), "beta/vm-1"),
        ("base0", ("one",), "beta/vm-1"),
    ]
