import asyncio
import gzip
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.storage.fake import FakeStorageDriver
from agent.storage.image import Expected
from cluster.store.memory import MemoryStore
from horcrux.errors import AlreadyExists, Busy, InUse, InvalidFields, NotFound
from horcrux.ids import VmId
from horcrux.storage.bodies import FetchImage, NewPool, NewVolume
from horcrux.storage.volume import VolumeUse
from horcrux.tasks import TaskState
from horcrux.units import KIB, MIB
from tests.agent.storage.bench import ADA, Bench, leave_unfinished, pieces, running
from tests.support.clock import FakeClock

RAW = b"\xeb\x63\x90" + b"x" * 300_000


def left_in(folder: Path) -> list[str]:
    """Every file below the folder, the parts that were forgotten among them."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def files(bench: Bench) -> list[str]:
    return await asyncio.to_thread(left_in, bench.target)


async def qemu_img(*argv: str) -> None:
    await asyncio.to_thread(subprocess.run, ["qemu-img", *argv], check=True, capture_output=True)


async def read(path: Path) -> bytes:
    return await asyncio.to_thread(path.read_bytes)


async def test_an_uploaded_image_is_kept_as_it_came(bench: Bench) -> None:
    result = await bench.done(await bench.upload("debian.raw", RAW, hashlib.sha256(RAW).hexdigest()))
    assert result is not None
    assert (result["name"], result["format"], result["size_bytes"]) == ("debian.raw", "raw", len(RAW))
    assert result["sha256"] == hashlib.sha256(RAW).hexdigest()
    (image,) = await bench.service.images.views("local")
    assert (image.name, image.size_bytes, image.used_by) == ("debian.raw", len(RAW), None)
    assert await files(bench) == ["images/.about/debian.raw.json", "images/debian.raw"]
    assert await read(bench.target / "images/debian.raw") == RAW
    assert bench.told("image") == [("local/debian.raw", True)]
    assert await bench.service.all_images() == {
        ("local", "debian.raw"): await bench.service.images.find("local", "debian.raw")
    }


async def test_the_format_is_that_of_the_content_whatever_the_name(bench: Bench, tmp_path: Path) -> None:
    for format_, name in (("qcow2", "a.raw"), ("vmdk", "b.qcow2")):
        path = tmp_path / name
        await qemu_img("create", "-f", format_, str(path), "8M")
        result = await bench.done(await bench.upload(name, await read(path)))
        assert result is not None
        assert (result["format"], result["virtual_size_bytes"]) == (format_, 8 * MIB)


async def test_zeros_take_no_room(bench: Bench) -> None:
    content = RAW.ljust(MIB, b"x") + bytes(16 * MIB) + RAW + bytes(3 * MIB)
    await bench.done(await bench.upload("sparse", content))
    path = bench.target / "images/sparse"
    assert await read(path) == content
    assert (await asyncio.to_thread(path.stat)).st_blocks * 512 < 4 * MIB


async def test_progress_is_told_while_it_comes(bench: Bench) -> None:
    seen: list[float] = []
    bench.engine.listen(lambda task: seen.append(task.progress))
    await bench.done(await bench.upload("a", RAW * 20))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


async def test_another_checksum_is_refused_and_nothing_is_left(bench: Bench) -> None:
    code, words = await bench.failed(await bench.upload("a", RAW, "ab" * 32))
    assert code == "invalid_fields"
    assert "sha256" in words
    assert await files(bench) == []
    assert await bench.service.images.views("local") == []


async def test_an_image_that_ends_early_is_refused_and_nothing_is_left(bench: Bench) -> None:
    expected = Expected(length=len(RAW) + 1)
    task = await bench.service.images.upload("local", "a", pieces(RAW), expected, ADA)
    assert f"{len(RAW)} of {len(RAW) + 1}" in (await bench.failed(task))[1]
    assert await files(bench) == []


async def test_an_image_without_a_known_length_is_taken_to_its_end(bench: Bench) -> None:
    await bench.done(await bench.service.images.upload("local", "a", pieces(RAW), Expected(), ADA))
    assert (await bench.service.images.find("local", "a")).size_bytes == len(RAW)


async def test_an_image_larger_than_the_pool_is_refused_before_a_byte_is_read(bench: Bench) -> None:
    expected = Expected(length=1 << 60)
    task = await bench.service.images.upload("local", "a", pieces(RAW), expected, ADA)
    assert (await bench.failed(task))[0] == "no_space"
    assert await files(bench) == []


async def test_a_cancelled_upload_leaves_nothing(bench: Bench) -> None:
    begun = asyncio.Event()

    async def never_ending() -> AsyncIterator[bytes]:
        yield RAW
        begun.set()
        await asyncio.Event().wait()

    task = await bench.service.images.upload("local", "a", never_ending(), Expected(), ADA)
    await begun.wait()
    with pytest.raises(Busy, match=task.id):
        await bench.upload("a", RAW)
    await bench.engine.cancel(task.id, ADA.principal.user)
    assert (await bench.engine.wait(task.id)).state is TaskState.CANCELLED
    assert await files(bench) == []
    await bench.done(await bench.upload("a", RAW))


async def test_a_name_is_taken_once(bench: Bench) -> None:
    await bench.done(await bench.upload("a", RAW))
    with pytest.raises(AlreadyExists, match="image a"):
        await bench.upload("a", RAW + RAW)
    assert (await bench.service.images.find("local", "a")).size_bytes == len(RAW)


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".about", ".a", "a.part", "a\n", "ä", "json:{}", "a" * 128])
async def test_a_wrong_name_names_the_field(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        await bench.upload(name, RAW)
    assert [p.field for p in caught.value.problems] == ["name"]


async def test_a_compressed_image_is_refused_with_what_to_do(bench: Bench) -> None:
    _, words = await bench.failed(await bench.upload("a.img.gz", gzip.compress(RAW)))
    assert "decompress it first" in words
    assert await files(bench) == []


async def test_an_image_that_is_cut_off_is_refused(bench: Bench, tmp_path: Path) -> None:
    """The header is fine; what it points to is not there. `qemu-img info` (7.2) says nothing of it."""
    path = tmp_path / "a"
    await qemu_img("create", "-f", "qcow2", str(path), "8M")
    code, words = await bench.failed(await bench.upload("a", (await read(path))[:65_536]))
    assert code == "invalid"
    assert "cut off" in words
    assert await files(bench) == []


async def test_what_qemu_cannot_read_is_refused_in_its_words(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "a"
    await qemu_img("create", "-f", "qcow2", str(path), "8M")
    content = bytearray(await read(path))
    content[56:60] = b"\xff" * 4  # clusters of the refcount table
    code, words = await bench.failed(await bench.upload("a", bytes(content)))
    assert code == "invalid"
    assert "qemu-img could not examine the image" in words
    assert await files(bench) == []


async def crafted(folder: Path, kind: str) -> Path:
    """An image made by qemu-img itself that reads `secret`, a file of the host."""
    secret, path = folder / "secret", folder / "crafted"
    await asyncio.to_thread(secret.write_bytes, b"root:secret" + bytes(KIB * 1024 - 11))
    match kind:
        case "backing file":
            await qemu_img("create", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(path))
        case "json backing file":
            backing = f'json:{{"driver":"raw","file":{{"driver":"file","filename":"{secret}"}}}}'
            await qemu_img("create", "-f", "qcow2", "-b", backing, "-F", "raw", str(path), "1M")
        case "old backing file":
            await qemu_img("create", "-f", "qcow2", "-o", "compat=0.10", "-b", str(secret), "-F", "raw", str(path))
        case "nested backing file":
            middle = folder / "middle"
            await qemu_img("create", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(middle))
            await qemu_img("create", "-f", "qcow2", "-b", str(middle), "-F", "qcow2", str(path))
        case "data file":
            await qemu_img("create", "-f", "qcow2", "-o", f"data_file={secret}", str(path), "1M")
        case "raw data file":
            options = f"data_file={secret},data_file_raw=on"
            await qemu_img("create", "-f", "qcow2", "-o", options, str(path), "1M")
        case "vmdk backing file":
            middle = folder / "middle.vmdk"
            await qemu_img("convert", "-f", "raw", "-O", "vmdk", str(secret), str(middle))
            await qemu_img("create", "-f", "vmdk", "-b", str(middle), "-F", "vmdk", str(path))
        case "vmdk description":
            text = '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
            await asyncio.to_thread(path.write_text, f'{text}RW 8 FLAT "{secret}" 0\n')
        case "encryption":
            await qemu_img(
                "create", "-f", "qcow2", "--object", "secret,id=s,data=abc",
                "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", str(path), "1M",
            )  # fmt: skip
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "backing file",
        "json backing file",
        "old backing file",
        "nested backing file",
        "data file",
        "raw data file",
        "vmdk backing file",
        "vmdk description",
        "encryption",
    ],
)
async def test_an_image_that_reads_the_host_is_refused_and_nothing_is_left(
    bench: Bench, tmp_path: Path, kind: str
) -> None:
    path = await crafted(tmp_path, kind)
    code, words = await bench.failed(await bench.upload("innocent.img", await read(path)))
    assert code == "invalid"
    assert "the image" in words
    assert await files(bench) == []


async def test_an_image_is_not_deleted_while_a_vm_has_it_in_its_drive(bench: Bench) -> None:
    await bench.done(await bench.upload("a.iso", RAW))
    bench.uses.images["a.iso"] = VolumeUse(VmId("vm-7"), "cdrom")
    assert (await bench.service.images.views("local"))[0].used_by == VolumeUse(VmId("vm-7"), "cdrom")
    with pytest.raises(InUse, match="vm-7"):
        await bench.service.images.delete("local", "a.iso", ADA)
    bench.uses.images.clear()
    await bench.done(await bench.service.images.delete("local", "a.iso", ADA))
    assert await files(bench) == []
    assert bench.told("image")[-1] == ("local/a.iso", False)
    with pytest.raises(NotFound, match=r"a\.iso"):
        await bench.service.images.delete("local", "a.iso", ADA)


async def test_an_image_is_not_deleted_while_a_disk_is_begun_from_it(bench: Bench) -> None:
    await bench.done(await bench.upload("a", RAW))
    with bench.service.pools.find("local").images.reading("a"), pytest.raises(InUse, match="being begun"):
        await bench.service.images.delete("local", "a", ADA)
    await bench.done(await bench.service.images.delete("local", "a", ADA))


async def test_what_an_earlier_life_left_half_done_is_gone(tmp_path: Path) -> None:
    store, driver = MemoryStore(FakeClock()), FakeStorageDriver()
    async with running(tmp_path, store, driver) as bench:
        await bench.done(await bench.upload("whole", RAW))
        images = bench.target / "images"
        for file in (images / "half.part", images / ".about/half.json", images / ".about/x.json.part"):
            await asyncio.to_thread(file.write_text, "{}")
    async with running(tmp_path, store, driver) as bench:
        assert await files(bench) == ["images/.about/whole.json", "images/whole"]
        assert [image.name for image in await bench.service.images.views("local")] == ["whole"]


async def test_an_upload_that_was_cut_off_is_undone(tmp_path: Path) -> None:
    store, driver = MemoryStore(FakeClock()), FakeStorageDriver()
    async with running(tmp_path, store, driver) as bench:
        await bench.done(await bench.upload("a", RAW))
    await leave_unfinished(tmp_path, "image.discard", pool="local", name="a")
    async with running(tmp_path, store, driver) as bench:
        assert await files(bench) == []


async def test_a_volume_begins_from_an_image(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "a"
    await qemu_img("create", "-f", "qcow2", str(path), "8M")
    await bench.done(await bench.upload("a", await read(path)))
    result = await bench.done(await bench.service.volumes.create("local", NewVolume(name="disk0", image="a"), ADA))
    assert result is not None
    assert result["capacity_bytes"] == 8 * MIB
    order = NewVolume(name="disk1", image="a", size_gb=0.5, format="raw")
    result = await bench.done(await bench.service.volumes.create("local", order, ADA))
    assert result is not None
    assert (result["capacity_bytes"], result["format"]) == (512 * MIB, "raw")


async def test_a_file_is_fetched_from_a_folder_that_the_settings_allow(bench: Bench) -> None:
    shared = bench.folder / "shared"
    await asyncio.to_thread(shared.mkdir)
    await asyncio.to_thread((shared / "a b.img").write_bytes, RAW)
    url = f"file://{shared}/a%20b.img"
    result = await bench.done(await bench.service.images.fetch("local", FetchImage(name="a", url=url), ADA))
    assert result is not None
    assert result["sha256"] == hashlib.sha256(RAW).hexdigest()


@pytest.mark.parametrize("way", ["outside", "dots", "link", "folder", "missing", "device"])
async def test_no_file_is_fetched_from_anywhere_else(bench: Bench, way: str) -> None:
    shared, secret = bench.folder / "shared", bench.folder / "secret"
    await asyncio.to_thread(shared.mkdir)
    await asyncio.to_thread(secret.write_bytes, RAW)
    await asyncio.to_thread((shared / "link").symlink_to, secret)
    await asyncio.to_thread((shared / "zero").symlink_to, "/dev/zero")
    path = {
        "outside": secret,
        "dots": f"{shared}/../secret",
        "link": shared / "link",
        "folder": shared,
        "missing": shared / "missing",
        "device": shared / "zero",
    }[way]
    task = await bench.service.images.fetch("local", FetchImage(name="a", url=f"file://{path}"), ADA)
    code, words = await bench.failed(task)
    assert code == "invalid_fields"
    assert "image_folders" in words
    assert await files(bench) == []


async def test_a_folder_images_of_somebody_elses_loses_nothing(tmp_path: Path) -> None:
    theirs = tmp_path / "pools" / "local" / "images" / "film.mkv.part"
    await asyncio.to_thread(theirs.parent.mkdir, parents=True)
    await asyncio.to_thread(theirs.write_bytes, b"half a film")
    async with running(tmp_path):
        assert await asyncio.to_thread(theirs.exists)


async def test_a_pool_that_hangs_keeps_no_other_from_its_images(bench: Bench, tmp_path: Path) -> None:
    await bench.done(await bench.service.pools.create(NewPool(id="slow", target=str(tmp_path / "slow")), ADA))
    await bench.done(await bench.upload("a", b"x" * 512))
    about = tmp_path / "slow" / "images" / ".about" / "a.json"
    await asyncio.to_thread(os.mkfifo, about)  # nobody writes to it: who reads it hangs
    hanging = [asyncio.create_task(bench.service.images.find("slow", "a")) for _ in range(5)]
    assert list(await bench.service.all_images()) == [("local", "a")]
    assert (await bench.service.images.find("local", "a")).name == "a"
    writing = await asyncio.to_thread(os.open, about, os.O_RDWR | os.O_NONBLOCK)
    await asyncio.to_thread(about.unlink)
    os.close(writing)
    assert [type(error) for error in await asyncio.gather(*hanging, return_exceptions=True)] == [NotFound] * 5
