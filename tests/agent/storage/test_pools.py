import asyncio
from pathlib import Path

import msgspec
import pytest

from agent.storage.fake import FakeStorageDriver
from agent.storage.image import Expected
from cluster.store.memory import MemoryStore
from horcrux.errors import AlreadyExists, Busy, InUse, InvalidFields, NotFound, Stale
from horcrux.ids import NodeId, PoolId
from horcrux.storage.bodies import NewPool, NewVolume
from horcrux.storage.pool import FoundPool, Health, PoolDocument, PoolType
from horcrux.store import Collection, Entry
from horcrux.units import GIB
from tests.agent.storage.bench import ADA, NODE, Bench, leave_unfinished, pieces, running
from tests.support.clock import FakeClock


async def test_the_first_start_makes_a_pool_local(bench: Bench) -> None:
    (pool,) = await bench.service.pools.views()
    assert (pool.id, pool.storage_type, pool.is_active, pool.node) == ("local", PoolType.DIR, True, "alpha")
    assert pool.target == str(bench.target)
    assert (pool.total, pool.available) == (100, 100)
    assert pool.total_bytes == 100 * GIB
    assert bench.service.volume_pools() == {"local"}


async def test_the_next_start_finds_its_pools_again(tmp_path: Path) -> None:
    store, driver = MemoryStore(FakeClock()), FakeStorageDriver()
    async with running(tmp_path, store, driver) as bench:
        await bench.done(await bench.service.pools.create(NewPool(id="fast", target=str(tmp_path / "fast")), ADA))
        await bench.done(await bench.service.volumes.create("fast", NewVolume(name="a", size_gb=1), ADA))
    async with running(tmp_path, store, driver) as bench:
        assert [pool.id for pool in await bench.service.pools.views()] == ["fast", "local"]
        assert [volume.name for volume in await bench.service.volumes.views("fast")] == ["a"]


async def test_a_broken_pool_is_reported_and_harms_no_other(tmp_path: Path) -> None:
    store = MemoryStore(FakeClock())
    async with running(tmp_path, store) as bench:
        await bench.done(await bench.service.pools.create(NewPool(id="gone", target=str(tmp_path / "gone")), ADA))
    target = tmp_path / "gone"
    await asyncio.to_thread(_replace_by_file, target)
    async with running(tmp_path, store) as bench:
        assert [pool.id for pool in await bench.service.pools.views()] == ["gone", "local"]
        assert await bench.service.volumes.views("local") == []
        assert await bench.service.all_images() == {}
        with pytest.raises(NotFound, match="image a"):
            await bench.service.images.find("gone", "a")
        task = await bench.service.images.upload("gone", "a", pieces(b"x"), Expected(), ADA)
        assert (await bench.failed(task))[0] == "unavailable"


def _replace_by_file(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir()
    folder.rmdir()
    folder.write_text("not a folder")


async def test_a_pool_that_was_stopped_from_outside_is_opened_when_it_is_used(tmp_path: Path) -> None:
    driver = FakeStorageDriver()
    async with running(tmp_path, driver=driver) as bench:
        pool = bench.service.pools.find("local").document
        driver.stop_pool(pool.id)
        view = await bench.service.pools.view("local")
        assert not view.is_active
        assert "not active" in view.reason
        assert await bench.service.volumes.views("local") == []
        assert (await bench.service.pools.view("local")).is_active


async def test_a_created_pool_is_there_and_told_of(bench: Bench, tmp_path: Path) -> None:
    order = NewPool(id="fast", name="Fast SSD", target=str(tmp_path / "x" / "fast"))
    result = await bench.done(await bench.service.pools.create(order, ADA))
    assert result is not None
    assert (result["id"], result["name"], result["is_active"]) == ("fast", "Fast SSD", True)
    assert ("fast", True) in bench.told("pool")
    assert await asyncio.to_thread((tmp_path / "x" / "fast" / "images").is_dir)


async def test_a_pools_id_is_taken_once(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists, match="local"):
        await bench.service.pools.create(NewPool(id="local", target=str(tmp_path / "b")), ADA)


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (NewPool(id="../x", target="/srv/vms"), "id"),
        (NewPool(id="", target="/srv/vms"), "id"),
        (NewPool(id="a", target="vms"), "target"),
        (NewPool(id="a", target="/etc/vms"), "target"),
        (NewPool(id="a", name="", target="/srv/vms"), "name"),
        (NewPool(id="a", storage_type="zfs", target="/srv/vms"), "storage_type"),
        (NewPool(id="a", storage_type="nonsense", target="/srv/vms"), "storage_type"),
    ],
)
async def test_a_wrong_pool_names_the_field(bench: Bench, order: NewPool, field: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        await bench.service.pools.create(order, ADA)
    assert [p.field for p in caught.value.problems] == [field]
    assert [pool.id for pool in await bench.service.pools.views()] == ["local"]


async def test_an_unknown_type_is_told_what_there_is(bench: Bench) -> None:
    with pytest.raises(InvalidFields, match="offers dir, not zfs"):
        await bench.service.pools.create(NewPool(id="a", storage_type="zfs", target="/srv/vms"), ADA)


async def test_pools_do_not_lie_in_each_other(bench: Bench) -> None:
    with pytest.raises(InvalidFields, match="pool local"):
        await bench.service.pools.create(NewPool(id="a", target=str(bench.target / "images")), ADA)


async def test_a_pool_that_cannot_be_opened_is_not_created(bench: Bench, tmp_path: Path) -> None:
    target = tmp_path / "file"
    await asyncio.to_thread(target.write_text, "not a folder")
    task = await bench.service.pools.create(NewPool(id="a", target=str(target)), ADA)
    assert (await bench.failed(task))[0] == "unavailable"
    assert [pool.id for pool in await bench.service.pools.views()] == ["local"]
    with pytest.raises(NotFound):
        bench.service.pools.find("a")


async def test_an_empty_pool_is_deleted_and_its_folder_stays(bench: Bench) -> None:
    await bench.done(await bench.service.pools.delete("local", None, ADA))
    assert await bench.service.pools.views() == []
    assert await asyncio.to_thread(bench.target.is_dir)
    assert bench.service.volume_pools() == frozenset()
    assert bench.told("pool")[-1] == ("local", False)


async def test_a_pool_with_volumes_or_images_is_not_deleted_and_they_are_named(bench: Bench) -> None:
    await bench.done(await bench.service.volumes.create("local", NewVolume(name="disk-a", size_gb=1), ADA))
    await bench.done(await bench.upload("image-b", b"x" * 512))
    code, words = await bench.failed(await bench.service.pools.delete("local", None, ADA))
    assert code == InUse.code
    assert "volume disk-a" in words
    assert "image image-b" in words
    assert bench.service.volume_pools() == {"local"}


async def test_a_pool_in_which_a_task_is_at_work_is_not_deleted(bench: Bench) -> None:
    async with bench.service.pools.using("local"):
        assert (await bench.failed(await bench.service.pools.delete("local", None, ADA)))[0] == "busy"
    await bench.done(await bench.service.pools.delete("local", None, ADA))


async def test_deleting_a_pool_that_was_changed_meanwhile_is_stale(bench: Bench) -> None:
    revision = (await bench.service.pools.view("local")).revision
    with pytest.raises(Stale):
        await bench.service.pools.delete("local", revision + 1, ADA)
    await bench.done(await bench.service.pools.delete("local", revision, ADA))


async def test_unknown_pools_are_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        await bench.service.pools.view("none")
    with pytest.raises(NotFound):
        await bench.service.pools.delete("none", None, ADA)
    with pytest.raises(NotFound):
        await bench.service.volumes.views("none")


async def test_a_pool_of_another_node_is_shown_and_not_used(bench: Bench) -> None:
    document = PoolDocument(
        id=bench.service.pools.find("local").document.id,
        name="Theirs",
        storage_type=PoolType.DIR,
        node=NODE,
        target="/srv/theirs",
        created_at=1.0,
    )
    await Collection(bench.store, "pool", PoolDocument).create("theirs", _of_other_node(document))
    theirs = await bench.service.pools.view("theirs")
    assert (theirs.is_active, theirs.node) == (False, "n0000000b")
    assert bench.service.volume_pools() == {"local"}
    with pytest.raises(NotFound):
        await bench.service.volumes.views("theirs")


def _of_other_node(document: PoolDocument) -> PoolDocument:
    return msgspec.structs.replace(document, id=PoolId("theirs"), node=NodeId("n0000000b"))


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_a_creation_that_was_cut_off_leaves_no_pool(tmp_path: Path, is_recorded: bool) -> None:
    store, driver = MemoryStore(FakeClock()), FakeStorageDriver()
    document = PoolDocument(
        id=PoolId("a"), name="a", storage_type=PoolType.DIR, node=NODE, target=str(tmp_path / "a"), created_at=1.0
    )
    if is_recorded:
        await Collection(store, "pool", PoolDocument).create("a", document)
    await leave_unfinished(tmp_path, "pool.remove", document=msgspec.json.encode(document).decode())
    async with running(tmp_path, store, driver) as bench:
        assert [pool.id for pool in await bench.service.pools.views()] == ([] if is_recorded else ["local"])
        assert not (await driver.look(document)).is_active


async def test_undoing_a_creation_leaves_another_pool_of_that_name_alone(tmp_path: Path) -> None:
    store, driver = MemoryStore(FakeClock()), FakeStorageDriver()
    was = PoolDocument(
        id=PoolId("a"), name="a", storage_type=PoolType.DIR, node=NODE, target=str(tmp_path / "a"), created_at=1.0
    )
    await Collection(store, "pool", PoolDocument).create("a", was)
    wanted = msgspec.structs.replace(was, target=str(tmp_path / "b"), created_at=2.0)
    await leave_unfinished(tmp_path, "pool.remove", document=msgspec.json.encode(wanted).decode())
    async with running(tmp_path, store, driver) as bench:
        assert [pool.id for pool in await bench.service.pools.views()] == ["a"]
        assert (await driver.look(was)).is_active


class LateReader(MemoryStore):
    """A store whose next answer about pool `fast` comes only when the test lets it."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.may_answer: asyncio.Event | None = None
        self.has_read = asyncio.Event()

    async def get(self, key: str) -> Entry | None:
        entry = await super().get(key)
        may_answer, self.may_answer = self.may_answer, None
        if key == "/hx/v1/pool/fast" and may_answer is not None:
            self.has_read.set()
            await may_answer.wait()
        return entry


class Folders(FakeStorageDriver):
    """Where the pools lie that the host knows; as with libvirt, a name leads to one folder."""

    def __init__(self) -> None:
        super().__init__()
        self.by_id: dict[str, str] = {}

    async def open(self, pool: PoolDocument) -> None:
        await super().open(pool)
        self.by_id[pool.id] = pool.target


async def test_who_comes_second_with_a_pools_id_does_not_lead_it_to_another_folder(tmp_path: Path) -> None:
    store, driver = LateReader(), Folders()
    async with running(tmp_path, store, driver) as bench:
        store.may_answer = may_answer = asyncio.Event()
        second = asyncio.create_task(
            bench.service.pools.create(NewPool(id="fast", target=str(tmp_path / "second")), ADA)
        )
        await store.has_read.wait()
        await bench.done(await bench.service.pools.create(NewPool(id="fast", target=str(tmp_path / "first")), ADA))
        may_answer.set()
        assert (await bench.failed(await second))[0] == "already_exists"
        assert driver.by_id["fast"] == str(tmp_path / "first")
        assert (await bench.service.pools.view("fast")).is_active


class SlowToOpen(FakeStorageDriver):
    """Pools other than `local` open when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.is_opening, self.may_open = asyncio.Event(), asyncio.Event()

    async def open(self, pool: PoolDocument) -> None:
        if pool.id != "local":
            self.is_opening.set()
            await self.may_open.wait()
        await super().open(pool)


async def test_two_pools_created_at_one_time_do_not_share_a_folder(tmp_path: Path) -> None:
    driver = SlowToOpen()
    async with running(tmp_path, driver=driver) as bench:
        first = await bench.service.pools.create(NewPool(id="first", target=str(tmp_path / "one")), ADA)
        await driver.is_opening.wait()
        with pytest.raises(Busy):
            await bench.service.pools.create(NewPool(id="second", target=str(tmp_path / "one" / "below")), ADA)
        patient = msgspec.structs.replace(ADA, wait_s=5)
        second = await bench.service.pools.create(NewPool(id="second", target=str(tmp_path / "one" / "below")), patient)
        driver.may_open.set()
        await bench.done(first)
        assert "pool first" in (await bench.failed(second))[1]
        assert bench.service.volume_pools() == {"local", "first"}


async def test_what_was_found_on_the_host_names_the_pool_that_stands_on_it(tmp_path: Path) -> None:
    driver = FakeStorageDriver()
    driver.on_host = [
        FoundPool(storage_type=PoolType.DIR, target=str(tmp_path), total_bytes=2, available_bytes=1),
        FoundPool(storage_type=PoolType.DIR, target="/elsewhere", total_bytes=2, available_bytes=1),
        FoundPool(storage_type=PoolType.ZFS, target="tank", total_bytes=2, available_bytes=1, problems=("disk gone",)),
    ]
    async with running(tmp_path, driver=driver) as bench:
        found = {one.target: one.pool for one in await bench.service.pools.found()}
        assert found == {str(tmp_path): "local", "/elsewhere": None, "tank": None}


async def test_the_view_says_what_can_be_done_in_a_pool(bench: Bench) -> None:
    (pool,) = await bench.service.pools.views()
    assert pool.formats == ("qcow2", "raw")
    assert pool.holds_images
    assert (pool.health, pool.problems) == (Health.GOOD, ())
