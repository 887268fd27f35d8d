"""How ZFS is called, without ZFS: the kernel's memory of zpools is a folder of the test's own."""

import asyncio
import errno
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.storage.zfs import ZfsDriver
from agent.storage.zfs_library import from_zfs
from agent.storage.zfs_link import ZfsLink, from_command
from horcrux.errors import HorcruxError, HostLacks, Interrupted, InUse, NoSpace, NotFound, Unavailable
from horcrux.ids import NodeId
from horcrux.storage.pool import Health
from tests.support.zfs import zfs_pool


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Two zpools are imported."""
    for name in ("ill", "good"):
        (tmp_path / "kstat" / name).mkdir(parents=True)
        (tmp_path / "kstat" / name / "state").write_text("ONLINE\n")
    return tmp_path / "kstat"


@pytest.fixture
async def link(kernel: Path) -> AsyncIterator[ZfsLink]:
    link = ZfsLink(timeout_s=0.2, kstat=kernel)
    yield link
    await link.close()


def answer() -> str:
    return "answer"


async def test_a_call_is_answered(link: ZfsLink) -> None:
    assert await link.run("good/vms/disk0", answer) == "answer"


async def test_a_zpool_that_is_not_imported_is_unavailable(link: ZfsLink) -> None:
    with pytest.raises(Unavailable, match="zpool gone is not imported"):
        await link.run("gone/vms", answer)


async def test_a_zpool_that_is_suspended_is_not_asked(link: ZfsLink, kernel: Path) -> None:
    await asyncio.to_thread((kernel / "ill" / "state").write_text, "SUSPENDED\n")
    with pytest.raises(Unavailable, match="suspended"):
        await link.run("ill/vms", answer)
    assert await link.run("good", answer) == "answer"


async def test_a_host_without_the_module_is_told_the_remedy(tmp_path: Path) -> None:
    driver = ZfsDriver(NodeId("n00000000"), mounts=tmp_path, link=ZfsLink(kstat=tmp_path / "nothing"))
    pool = zfs_pool("tank/vms")
    with pytest.raises(HostLacks, match="modprobe zfs"):
        await driver.open(pool)
    seen = await driver.look(pool)
    assert (seen.is_active, seen.health) == (False, Health.FAULTED)
    assert "modprobe zfs" in seen.reason
    assert await driver.found_pools() == []
    await driver.remove(pool)
    await driver.close()


async def test_a_call_that_hangs_holds_up_no_other_zpool_and_is_refused_until_it_is_back(link: ZfsLink) -> None:
    disk_is_back = threading.Event()
    with pytest.raises(Unavailable, match=r"not answered for 0\.2 s"):
        await link.run("ill/vms", disk_is_back.wait)
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(Unavailable, match="earlier call"):
        await link.run("ill/vms", answer)
    assert loop.time() - before < 0.2
    assert await link.run("good/vms", answer) == "answer"
    disk_is_back.set()
    async with asyncio.timeout(30):
        while True:
            try:
                assert await link.run("ill/vms", answer) == "answer"
                break
            except Unavailable:
                await asyncio.sleep(0)


async def test_sources_that_hang_hold_up_no_zpool_and_are_given_up(link: ZfsLink) -> None:
    server_is_back = threading.Event()
    try:
        hanging = [link.files(server_is_back.wait) for _ in range(4)]
        told = asyncio.gather(*hanging, return_exceptions=True)
        async with asyncio.timeout(5):
            assert await link.run("good/vms", answer) == "answer"
            assert await link.zpools() == ["good", "ill"]
            assert [type(error) for error in await told] == [Unavailable] * 4
    finally:
        server_is_back.set()


async def test_a_call_that_was_begun_is_awaited_when_its_caller_is_cancelled(kernel: Path) -> None:
    link, begun, go, ended = (
        ZfsLink(timeout_s=30, kstat=kernel),
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )

    def work() -> None:
        begun.set()
        go.wait()
        ended.set()

    call = asyncio.create_task(link.run("good/vms", work))
    await asyncio.to_thread(begun.wait)
    call.cancel()
    await asyncio.sleep(0)
    assert not call.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()
    await link.close()


async def test_what_is_missing_because_its_zpool_went_is_unavailable(link: ZfsLink, kernel: Path) -> None:
    def gone() -> None:
        (kernel / "good" / "state").unlink()
        raise NotFound("dataset good/vms is not there")

    with pytest.raises(Unavailable, match="not imported"):
        await link.run("good/vms", gone)


async def test_a_command_that_hangs_is_given_up(link: ZfsLink) -> None:
    before = time.monotonic()
    with pytest.raises(Unavailable, match="hangs"):
        await link.command("sleep", "100")
    assert time.monotonic() - before < 30
    with pytest.raises(HostLacks, match="no-such-program"):
        await link.command("no-such-program")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EAGAIN, Unavailable),
        (errno.EBUSY, InUse),
        (errno.EACCES, Unavailable),
        (1040, Interrupted),
    ],
)
def test_errors_of_the_kernel_are_ours(number: int, kind: type[HorcruxError]) -> None:
    error = from_zfs("volume tank/disk0 cannot be made", number, "words")
    assert type(error) is kind
    assert str(error).startswith("volume tank/disk0 cannot be made: ")


@pytest.mark.parametrize(
    ("complaint", "kind"),
    [
        ("cannot create 'tank/big': out of space\n", NoSpace),
        ("cannot set property for 'tank/v': size is greater than available space", NoSpace),
        ("cannot open 'tank/x': dataset does not exist", NotFound),
        ("cannot open 'tank': no such pool", Unavailable),
        ("cannot destroy 'tank/x': dataset is busy", InUse),
        ("The ZFS modules are not loaded.\nTry running '/sbin/modprobe zfs' as root", HostLacks),
    ],
)
def test_complaints_of_the_commands_are_ours(complaint: str, kind: type[HorcruxError]) -> None:
    error = from_command(("zfs", "set", "volsize=1", "tank/v"), 1, complaint)
    assert type(error) is kind
    assert "tank/v" in str(error)
