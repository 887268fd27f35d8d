"""What a folder is taken to hold, with files that QEMU made and files that lie."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.storage.volume_folder import (
    MAX_CHAIN,
    clones_in_folder,
    find_in_folder,
    is_base,
    list_folder,
    snapshots_in,
)
from horcrux.errors import Conflict, NotFound, Unreachable
from horcrux.ids import PoolId
from horcrux.storage.qcow2 import HEAD_BYTES, read_header, read_snapshots
from horcrux.units import MIB

POOL = PoolId("p")


def qemu_img(*argv: str | Path) -> str:
    return subprocess.run(["qemu-img", *argv], check=True, capture_output=True, text=True).stdout


def qcow2(path: Path, *more: str | Path, size: str = "10M") -> Path:
    qemu_img("create", "-q", "-f", "qcow2", *more, path, size)
    return path


def names(folder: Path) -> list[str]:
    return [volume.name for volume in list_folder(POOL, str(folder))]


@pytest.mark.parametrize("more", [(), ("-o", "compat=0.10"), ("-o", "cluster_size=2M"), ("-o", "cluster_size=512")])
def test_sizes_and_snapshots_are_what_qemu_says(tmp_path: Path, more: tuple[str, ...]) -> None:
    file = qcow2(tmp_path / "a.qcow2", *more, size="37M")
    made = [f"{number}-" + "ä" * number for number in range(1, 30)]
    for name in made:
        qemu_img("snapshot", "-c", name, file)
    said = json.loads(qemu_img("info", "--output=json", "-f", "qcow2", file))
    (volume,) = list_folder(POOL, str(tmp_path))
    assert volume.capacity_bytes == said["virtual-size"] == 37 * MIB
    assert volume.allocation_bytes == said["actual-size"]
    assert volume.base is None
    found = snapshots_in(str(file))
    assert [snapshot.name for snapshot in found] == made
    assert [(s.id, s.name) for s in found] == [(s["id"], s["name"]) for s in said["snapshots"]]
    assert [s.created_at for s in found] == pytest.approx(
        [s["date-sec"] + s["date-nsec"] / 1e9 for s in said["snapshots"]]
    )


def test_a_clone_names_its_base_and_has_its_own_size(tmp_path: Path) -> None:
    qcow2(tmp_path / "base.qcow2")
    (tmp_path / "flat.raw").write_bytes(bytes(MIB))
    qcow2(tmp_path / "one.qcow2", "-b", "base.qcow2", "-F", "qcow2", size="20M")
    qcow2(tmp_path / "two.qcow2", "-b", "flat.raw", "-F", "raw", size="1M")
    found = {v.name: (v.base, v.capacity_bytes // MIB) for v in list_folder(POOL, str(tmp_path))}
    assert found == {"base": (None, 10), "flat": (None, 1), "one": ("base", 20), "two": ("flat", 1)}
    assert clones_in_folder(POOL, str(tmp_path), "base") == ["one"]
    assert find_in_folder(POOL, str(tmp_path), "two").base == "flat"


def to_shadow(folder: Path) -> None:
    qcow2(folder / "a.qcow2", "-b", "/etc/shadow", "-F", "raw", "-u")


def to_a_device(folder: Path) -> None:
    qcow2(folder / "a.qcow2", "-b", "/dev/zero", "-F", "raw", "-u")


def out_of_the_folder(folder: Path) -> None:
    qcow2(folder / "a.qcow2", "-b", "../pool2/secret.raw", "-F", "raw", "-u")


def over_the_network(folder: Path) -> None:
    qcow2(folder / "a.qcow2", "-b", "nbd://192.0.2.1/x", "-F", "raw", "-u")


def by_json(folder: Path) -> None:
    words = 'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/shadow"}}'
    file = qcow2(folder / "a.qcow2", "-b", "x" * len(words), "-F", "raw", "-u")
    file.write_bytes(file.read_bytes().replace(b"x" * len(words), words.encode()))


def to_no_volume(folder: Path) -> None:
    (folder / "notes.txt").write_text("x" * 512)
    qcow2(folder / "a.qcow2", "-b", "notes.txt", "-F", "raw", "-u")


def in_another_format(folder: Path) -> None:
    """QEMU would look into a raw disk for a header that its guest wrote."""
    (folder / "flat.raw").write_bytes(bytes(MIB))
    qcow2(folder / "a.qcow2", "-b", "flat.raw", "-F", "qcow2", "-u")


def to_a_data_file(folder: Path) -> None:
    qcow2(folder / "a.qcow2", "-o", f"data_file={folder}/outside.bin,data_file_raw=on")


LIES: list[Callable[[Path], None]] = [
    to_shadow,
    to_a_device,
    out_of_the_folder,
    over_the_network,
    by_json,
    to_no_volume,
    in_another_format,
    to_a_data_file,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_file_that_names_something_else_is_no_volume(tmp_path: Path, lie: Callable[[Path], None]) -> None:
    lie(tmp_path)
    assert "a" not in names(tmp_path)
    with pytest.raises(Conflict, match="not used"):
        find_in_folder(POOL, str(tmp_path), "a")


def test_a_clone_whose_base_leads_away_is_not_used(tmp_path: Path) -> None:
    qcow2(tmp_path / "base.qcow2", "-b", "/etc/shadow", "-F", "raw", "-u")
    qcow2(tmp_path / "a.qcow2", "-b", "base.qcow2", "-F", "qcow2", "-u")
    with pytest.raises(Conflict, match="base"):
        find_in_folder(POOL, str(tmp_path), "a")


def test_a_clone_whose_base_is_gone_or_a_link_is_not_used(tmp_path: Path) -> None:
    qcow2(tmp_path / "a.qcow2", "-b", "base.raw", "-F", "raw", "-u")
    with pytest.raises(Conflict, match="not there"):
        find_in_folder(POOL, str(tmp_path), "a")
    (tmp_path / "base.raw").symlink_to("/etc/shadow")
    with pytest.raises(Conflict, match="not there"):
        find_in_folder(POOL, str(tmp_path), "a")


def test_volumes_that_stand_on_each_other_in_a_ring_come_to_an_end(tmp_path: Path) -> None:
    qcow2(tmp_path / "a.qcow2", "-b", "b.qcow2", "-F", "qcow2", "-u")
    qcow2(tmp_path / "b.qcow2", "-b", "a.qcow2", "-F", "qcow2", "-u")
    with pytest.raises(Conflict, match="too many"):
        find_in_folder(POOL, str(tmp_path), "a")
    assert MAX_CHAIN < 1000


def test_a_raw_volume_is_never_looked_into(tmp_path: Path) -> None:
    lie = qcow2(tmp_path / "lie", "-b", "/etc/shadow", "-F", "raw", "-u")
    (tmp_path / "a.raw").write_bytes(lie.read_bytes() + bytes(MIB))
    found = find_in_folder(POOL, str(tmp_path), "a")
    assert (found.format, found.base, found.capacity_bytes) == ("raw", None, lie.stat().st_size + MIB)


def test_links_pipes_folders_and_what_is_damaged_are_no_volumes(tmp_path: Path) -> None:
    (tmp_path / "link.raw").symlink_to("/etc/shadow")
    os.mkfifo(tmp_path / "pipe.qcow2")
    (tmp_path / "folder.raw").mkdir()
    (tmp_path / "damaged.qcow2").write_bytes(b"QFI\xfb" + b"\xff" * 200)
    (tmp_path / "empty.qcow2").write_bytes(b"")
    (tmp_path / "good.raw").write_bytes(bytes(512))
    assert names(tmp_path) == ["good"]
    for name in ("link", "pipe", "folder"):
        with pytest.raises(NotFound):
            find_in_folder(POOL, str(tmp_path), name)
    for name in ("damaged", "empty"):
        with pytest.raises(Unreachable, match="damaged"):
            find_in_folder(POOL, str(tmp_path), name)


def test_every_cut_of_a_header_or_a_list_of_snapshots_is_told_and_never_a_crash(tmp_path: Path) -> None:
    file = qcow2(tmp_path / "a.qcow2", "-b", "b.qcow2", "-F", "qcow2", "-u")
    for name in ("one", "two"):
        qemu_img("snapshot", "-q", "-c", name, "--image-opts", f"driver=qcow2,backing=,file.filename={file}")
    whole = file.read_bytes()
    header = read_header(whole[:HEAD_BYTES], "a")
    assert (header.backing_file, header.backing_format, header.snapshot_count) == ("b.qcow2", "qcow2", 2)
    for length in range(600):
        try:
            cut = read_header(whole[:length], "a")
        except Unreachable:
            continue
        assert (cut.backing_file, cut.virtual_size_bytes) == (header.backing_file, header.virtual_size_bytes)
    table = whole[header.snapshots_at :][:4096]
    assert [snapshot.name for snapshot in read_snapshots(table, 2, "a")] == ["one", "two"]
    with pytest.raises(Unreachable, match="ends early"):
        read_snapshots(table[:100], 2, "a")


def test_only_what_nobody_may_write_to_is_a_base(tmp_path: Path) -> None:
    file = tmp_path / "a.raw"
    file.write_bytes(bytes(512))
    assert not is_base(str(file))
    file.chmod(0o444)
    assert is_base(str(file))
