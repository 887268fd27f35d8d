"""What only the libvirt driver can do wrong: other people's pools, files that lie, death in the middle."""

import asyncio
import hashlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.blocking import BlockingPool
from agent.host.reach import QEMU_USER, find_account, open_way
from agent.storage.image import Expected, ImageStore
from agent.storage.libvirt_pool import LibvirtPoolDriver
from agent.storage.qemu_img import QemuImg
from horcrux.errors import Conflict, Invalid, NoSpace, NotFound, Unavailable, Unreachable
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.units import KIB, MIB
from tests.agent.storage.bench import pieces
from tests.support.clock import FakeClock
from tests.support.guests import LIBVIRT_SOCKET, Relay

pytestmark = pytest.mark.libvirt

URI = "qemu:///system"
REPO = Path(__file__).parents[3]


def ignore(_fraction: float) -> None:
    pass


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


async def sh(*argv: str) -> str:
    return await asyncio.to_thread(run, *argv)


def document(target: Path, id_: str = "p") -> PoolDocument:
    return PoolDocument(
        id=PoolId(id_), name="P", storage_type=PoolType.DIR, node=NodeId("n0"), target=str(target), created_at=1.0
    )


@pytest.fixture
def node() -> NodeId:
    return NodeId("n" + secrets.token_hex(4))


@pytest.fixture
async def driver(node: NodeId) -> AsyncIterator[LibvirtPoolDriver]:
    driver = LibvirtPoolDriver(URI, node)
    yield driver
    await driver.close()


@pytest.fixture
async def pool(driver: LibvirtPoolDriver, tmp_path: Path) -> AsyncIterator[PoolDocument]:
    pool = document(tmp_path / "pool")
    await driver.open(pool)
    yield pool
    await driver.remove(pool)


def qcow2_that_reads(secret: str, path: Path) -> None:
    run("qemu-img", "create", "-f", "qcow2", "-b", secret, "-F", "raw", str(path), "64M")


async def test_a_raw_volume_whose_guest_wrote_a_qcow2_header_stays_raw(
    driver: LibvirtPoolDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    made = await driver.create_volume(pool, "disk0", 2 * MIB, "raw")
    lie = tmp_path / "lie"
    await asyncio.to_thread(qcow2_that_reads, "/etc/shadow", lie)
    header = await asyncio.to_thread(lie.read_bytes)
    with Path(made.path).open("r+b") as file:
        await asyncio.to_thread(file.write, header)
    seen = await driver.find_volume(pool, "disk0")
    assert (seen.format, seen.capacity_bytes) == ("raw", 2 * MIB)
    assert [v.format for v in await driver.list_volumes(pool)] == ["raw"]
    grown = await driver.resize_volume(pool, "disk0", 3 * MIB)
    assert (grown.format, grown.capacity_bytes) == ("raw", 3 * MIB)
    copied = await driver.fill_volume(pool, "copy", made.path, "raw", "raw", ignore)
    assert copied.capacity_bytes == 3 * MIB
    assert (await asyncio.to_thread(Path(copied.path).read_bytes))[: len(header)] == header
    await driver.delete_volume(pool, "disk0")
    assert await asyncio.to_thread(Path("/etc/shadow").exists)


async def test_the_content_arrives_whole_and_holes_stay_holes(
    driver: LibvirtPoolDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    content = os.urandom(MIB) + bytes(20 * MIB) + os.urandom(MIB)
    await asyncio.to_thread(source.write_bytes, content)
    told: list[float] = []
    for format_ in ("raw", "qcow2"):
        made = await driver.fill_volume(pool, f"disk-{format_}", str(source), "raw", format_, told.append)
        assert made.allocation_bytes < 4 * MIB
        await sh("qemu-img", "convert", "-f", format_, "-O", "raw", made.path, str(back))
        assert (await asyncio.to_thread(back.read_bytes)) == content
        assert (await asyncio.to_thread(os.stat, made.path)).st_mode & 0o777 == 0o600
    assert told[-1] == 1.0


async def test_files_that_are_no_volumes_are_not_listed(driver: LibvirtPoolDriver, pool: PoolDocument) -> None:
    folder = Path(pool.target)
    for name in ("a.qcow2.part", "notes.txt", ".b.raw", "c.iso"):
        await asyncio.to_thread((folder / name).write_bytes, b"x" * 512)
    await asyncio.to_thread((folder / "images").mkdir)
    await asyncio.to_thread((folder / "d.raw").mkdir)
    assert await driver.list_volumes(pool) == []
    with pytest.raises(NotFound):
        await driver.find_volume(pool, "d")


async def test_opening_removes_what_was_half_written(driver: LibvirtPoolDriver, pool: PoolDocument) -> None:
    part = Path(pool.target, "a.qcow2.part")
    await asyncio.to_thread(part.write_bytes, b"x")
    await driver.open(pool)
    assert not await asyncio.to_thread(part.exists)


async def test_only_our_own_pools_are_touched(driver: LibvirtPoolDriver, pool: PoolDocument, tmp_path: Path) -> None:
    other = LibvirtPoolDriver(URI, NodeId("n" + secrets.token_hex(4)))
    theirs = document(tmp_path / "theirs")
    try:
        await other.open(theirs)
        await other.create_volume(theirs, "disk0", MIB, "raw")
        assert await driver.list_volumes(pool) == []
        await driver.remove(pool)
        assert (await other.look(theirs)).is_active
        assert [v.name for v in await other.list_volumes(theirs)] == ["disk0"]
    finally:
        await other.remove(theirs)
        await other.close()


async def test_a_pool_that_an_earlier_node_left_on_our_folder_gives_way(node: NodeId, tmp_path: Path) -> None:
    """Somebody deleted the state folder and started anew: libvirt still has the old node's pool there."""
    state = tmp_path / "state"
    local = document(state / "pools/local", "local")
    old = LibvirtPoolDriver(URI, NodeId("n" + secrets.token_hex(4)), state_dir=state)
    new = LibvirtPoolDriver(URI, node, state_dir=state)
    try:
        await old.open(local)
        await old.create_volume(local, "disk0", MIB, "raw")
        await new.open(local)
        assert (await new.look(local)).is_active
        assert not (await old.look(local)).is_active
        assert [v.name for v in await new.list_volumes(local)] == ["disk0"], "files stay"
    finally:
        for driver in (new, old):
            await driver.remove(local)
            await driver.close()


async def test_a_pool_of_another_node_elsewhere_does_not_give_way(node: NodeId, tmp_path: Path) -> None:
    shared = document(tmp_path / "shared", "shared")
    other = LibvirtPoolDriver(URI, NodeId("n" + secrets.token_hex(4)), state_dir=tmp_path / "other")
    ours = LibvirtPoolDriver(URI, node, state_dir=tmp_path / "state")
    try:
        await other.open(shared)
        with pytest.raises(Conflict, match="another pool of libvirt has that folder"):
            await ours.open(shared)
        assert (await other.look(shared)).is_active
    finally:
        await other.remove(shared)
        for driver in (ours, other):
            await driver.close()


async def test_qemus_user_comes_to_images_through_private_folders(tmp_path: Path) -> None:
    private = tmp_path / "private"
    await asyncio.to_thread(private.mkdir, 0o700)
    files = BlockingPool("test-files")
    try:
        images = ImageStore(
            PoolId("p"), str(private / "p"), files=files, qemu=QemuImg(files), clock=FakeClock(), let_qemu_in=open_way
        )
        await images.open()
        await images.receive("a", pieces(b"x" * 512), Expected(), ignore)
    finally:
        await asyncio.to_thread(files.close)
    drop = ["setpriv", "--reuid", QEMU_USER, "--regid", str(find_account().uid), "--clear-groups"]
    assert await sh(*drop, "head", "-c", "3", images.path("a")) == "xxx"


async def test_a_folder_belongs_to_one_pool(driver: LibvirtPoolDriver, pool: PoolDocument) -> None:
    with pytest.raises(Conflict, match="another pool"):
        await driver.open(msgspec.structs.replace(pool, id=PoolId("q")))


async def test_libvirt_starts_no_pool_by_itself(driver: LibvirtPoolDriver, pool: PoolDocument, node: NodeId) -> None:
    assert "Autostart:      no" in await sh("virsh", "-c", URI, "pool-info", f"hx-{node}-p")


async def test_a_pool_stopped_from_outside_is_seen_and_opened_again(
    driver: LibvirtPoolDriver, pool: PoolDocument, node: NodeId
) -> None:
    await driver.create_volume(pool, "disk0", MIB, "raw")
    await sh("virsh", "-c", URI, "pool-destroy", f"hx-{node}-p")
    seen = await driver.look(pool)
    assert not seen.is_active
    assert "not active" in seen.reason
    with pytest.raises(Unavailable, match="not active"):
        await driver.list_volumes(pool)
    await driver.open(pool)
    assert [v.name for v in await driver.list_volumes(pool)] == ["disk0"]


async def test_a_pool_whose_folder_moved_follows_its_document(
    driver: LibvirtPoolDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    moved = msgspec.structs.replace(pool, target=str(tmp_path / "moved"))
    await driver.open(moved)
    made = await driver.create_volume(moved, "disk0", MIB, "raw")
    assert made.path == str(tmp_path / "moved" / "disk0.raw")


async def test_what_vanished_behind_libvirts_back_is_not_listed(driver: LibvirtPoolDriver, pool: PoolDocument) -> None:
    for name in ("a", "b"):
        made = await driver.create_volume(pool, name, MIB, "qcow2")
    await asyncio.to_thread(Path(made.path).unlink)
    assert [v.name for v in await driver.list_volumes(pool)] == ["a"]
    with pytest.raises(NotFound):
        await driver.find_volume(pool, "b")
    assert (await driver.create_volume(pool, "b", 2 * MIB, "qcow2")).capacity_bytes == 2 * MIB


async def test_libvirt_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    driver = LibvirtPoolDriver(f"qemu+unix:///system?socket={tmp_path}/none", NodeId("n0"))
    pool = document(tmp_path / "pool")
    with pytest.raises(Unreachable, match="libvirt"):
        await driver.open(pool)
    assert not (await driver.look(pool)).is_active
    await driver.close()


async def test_a_connection_that_broke_is_made_again(node: NodeId, pool: PoolDocument, tmp_path: Path) -> None:
    relay = Relay(LIBVIRT_SOCKET, f"{tmp_path}/relay.sock")
    driver = LibvirtPoolDriver(f"qemu+unix:///system?socket={relay.path}", node)
    await relay.start()
    assert (await driver.look(pool)).is_active
    await relay.stop()
    assert not (await driver.look(pool)).is_active
    await relay.start()
    assert await driver.list_volumes(pool) == []
    await driver.close()
    await relay.stop()


async def test_a_damaged_source_is_told_in_qemus_words_and_leaves_nothing(
    driver: LibvirtPoolDriver, pool: PoolDocument, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    await asyncio.to_thread(source.write_bytes, b"not qcow2" * 100)
    with pytest.raises(Invalid, match="qemu-img could not copy"):
        await driver.fill_volume(pool, "disk0", str(source), "qcow2", "raw", ignore)
    assert await asyncio.to_thread(os.listdir, pool.target) == []


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder))
    yield folder
    run("umount", str(folder))


async def test_a_full_pool_is_no_space_and_leaves_nothing(
    driver: LibvirtPoolDriver, small_folder: Path, tmp_path: Path
) -> None:
    source, pool = tmp_path / "source", document(small_folder, "small")
    await asyncio.to_thread(source.write_bytes, os.urandom(8 * MIB))
    await driver.open(pool)
    try:
        with pytest.raises(NoSpace):
            await driver.fill_volume(pool, "disk0", str(source), "raw", "raw", ignore)
        assert await asyncio.to_thread(os.listdir, small_folder) == []
    finally:
        await driver.remove(pool)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def until_gone(pid: int) -> None:
    """The process is dead; a zombie that nobody has waited for yet counts as dead."""
    fd = os.pidfd_open(pid)
    try:
        loop, gone = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, gone.set)
        async with asyncio.timeout(20):
            await gone.wait()
        loop.remove_reader(fd)
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def big_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes long enough to copy that a test can act meanwhile: it is compressed."""
    folder = tmp_path_factory.mktemp("source")
    raw, packed = folder / "raw", folder / "packed"
    with raw.open("wb") as file:
        for _ in range(16):
            file.write(os.urandom(16 * KIB) * 512)
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(packed))
    return packed


async def test_a_cancelled_copy_ends_its_process_and_leaves_nothing(
    driver: LibvirtPoolDriver, pool: PoolDocument, big_source: Path
) -> None:
    begun = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        copy = group.create_task(
            driver.fill_volume(pool, "disk0", str(big_source), "qcow2", "qcow2", lambda _: begun.set())
        )
        await begun.wait()
        copy.cancel()
    assert copy.cancelled()
    assert await asyncio.to_thread(children, os.getpid()) == []
    assert await asyncio.to_thread(os.listdir, pool.target) == []
    assert await driver.list_volumes(pool) == []


FILL = """
import asyncio, sys
from agent.storage.libvirt_pool import LibvirtPoolDriver
from horcrux.storage.pool import PoolDocument
import msgspec

async def main():
    driver = LibvirtPoolDriver("qemu:///system", sys.argv[1])
    pool = msgspec.json.decode(sys.argv[2], type=PoolDocument)
    await driver.open(pool)
    def told(fraction):
        print("copying", flush=True)
    await driver.fill_volume(pool, "disk0", sys.argv[3], "qcow2", "qcow2", told)

asyncio.run(main())
"""


async def test_kill_9_in_a_copy_leaves_only_what_opening_removes(
    driver: LibvirtPoolDriver, pool: PoolDocument, node: NodeId, big_source: Path
) -> None:
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FILL, node, msgspec.json.encode(pool).decode(), str(big_source),
        stdout=asyncio.subprocess.PIPE, cwd=REPO,
    )  # fmt: skip
    assert agent.stdout is not None
    async with asyncio.timeout(30):
        assert await agent.stdout.readline() == b"copying\n"
    (copier,) = await asyncio.to_thread(children, agent.pid)
    gone = asyncio.ensure_future(until_gone(copier))
    await asyncio.sleep(0)
    agent.send_signal(signal.SIGKILL)
    await agent.wait()
    await gone
    assert await asyncio.to_thread(os.listdir, pool.target) == ["disk0.qcow2.part"]
    assert await driver.list_volumes(pool) == []
    await driver.open(pool)
    assert await asyncio.to_thread(os.listdir, pool.target) == []
    made = await driver.fill_volume(pool, "disk0", str(big_source), "qcow2", "qcow2", ignore)
    assert (await sh("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", str(big_source), made.path)).startswith(
        "Images are identical"
    )


async def test_a_thousand_volumes_are_listed_in_one_go(driver: LibvirtPoolDriver, pool: PoolDocument) -> None:
    def fill_folder() -> None:
        for number in range(1000):
            with Path(pool.target, f"disk{number:04}.raw").open("wb") as file:
                file.truncate(MIB)

    await asyncio.to_thread(fill_folder)
    async with asyncio.timeout(5):
        volumes = await driver.list_volumes(pool)
    assert [v.name for v in volumes] == [f"disk{number:04}" for number in range(1000)]


async def test_the_checksum_of_a_source_is_not_changed_by_reading_it(
    driver: LibvirtPoolDriver, pool: PoolDocument, big_source: Path
) -> None:
    def digest() -> str:
        return hashlib.sha256(big_source.read_bytes()).hexdigest()

    before = await asyncio.to_thread(digest)
    await driver.fill_volume(pool, "disk0", str(big_source), "qcow2", "raw", ignore)
    assert await asyncio.to_thread(digest) == before


async def test_a_pool_opened_in_a_folder_of_somebody_elses_deletes_nothing_there(
    driver: LibvirtPoolDriver, tmp_path: Path
) -> None:
    pool = document(tmp_path / "theirs")
    theirs = Path(pool.target, "film.mkv.part")
    await asyncio.to_thread(theirs.parent.mkdir)
    await asyncio.to_thread(theirs.write_bytes, b"half a film")
    await driver.open(pool)
    try:
        assert await asyncio.to_thread(theirs.exists)
    finally:
        await driver.remove(pool)
