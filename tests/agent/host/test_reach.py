"""The proof is always the same: a process of QEMU's user reads the file, or is refused."""

import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.reach import QEMU_USER, closed_folders, find_account, open_way
from horcrux.errors import HostLacks

pytestmark = pytest.mark.libvirt


def reads(path: Path, user: str = QEMU_USER) -> bool:
    """Whether a process of `user` can read `path`."""
    done = subprocess.run(
        ["setpriv", f"--reuid={user}", "--regid=nogroup", "--init-groups", "cat", str(path)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0 and done.stdout == b"inside"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder like a developer's home: entered by its owner alone. Below it `a/b/file`, readable by all."""
    with tempfile.TemporaryDirectory(prefix="hx-reach-") as name:
        folder = Path(name)
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "file").write_bytes(b"inside")
        (folder / "a" / "b").chmod(0o700)
        (folder / "a").chmod(0o755)
        yield folder


def test_a_file_under_a_private_folder_is_out_of_reach(home: Path) -> None:
    file = home / "a" / "b" / "file"
    assert not reads(file)
    assert closed_folders(file, find_account()) == [home, home / "a" / "b"]


def test_opening_the_way_lets_qemu_read_and_names_each_folder(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = home / "a" / "b" / "file"
    with caplog.at_level(logging.INFO):
        assert open_way(file) == [home, home / "a" / "b"]
    assert reads(file)
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == [home, home / "a" / "b"]


def test_nobody_else_is_let_in(home: Path) -> None:
    open_way(home / "a" / "b" / "file")
    assert not reads(home / "a" / "b" / "file", "nobody")


def test_qemu_may_pass_through_but_not_look_around(home: Path) -> None:
    open_way(home / "a" / "b" / "file")
    listing = subprocess.run(
        ["setpriv", f"--reuid={QEMU_USER}", "--regid=nogroup", "--init-groups", "ls", str(home)],
        capture_output=True,
        check=False,
    )
    assert listing.returncode != 0


def test_opening_an_open_way_changes_nothing(home: Path) -> None:
    file = home / "a" / "b" / "file"
    open_way(file)
    before = os.getxattr(home, "system.posix_acl_access")
    assert open_way(file) == []
    assert os.getxattr(home, "system.posix_acl_access") == before


def test_a_way_through_a_link_is_opened_on_both_sides(home: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="hx-reach-link-") as other:
        link = Path(other) / "link"
        link.symlink_to(home / "a" / "b" / "file")
        assert open_way(link) == [Path(other), home, home / "a" / "b"]
        assert reads(link)


def test_widening_the_mask_gives_nobody_what_the_mask_had_taken(home: Path) -> None:
    """A folder whose ACL names `nobody` with rwx under an empty mask: nobody must stay outside."""
    nobody = find_account("nobody")
    entries = ((1, 7, 0xFFFFFFFF), (2, 7, nobody.uid), (4, 7, 0xFFFFFFFF), (16, 0, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF))
    acl = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + id_.to_bytes(4, "little") for tag, perm, id_ in entries
    )
    os.setxattr(home, "system.posix_acl_access", acl)
    (home / "a" / "b").chmod(0o755)
    file = home / "a" / "b" / "file"
    assert not reads(file, "nobody")
    assert open_way(file) == [home]
    assert reads(file)
    assert not reads(file, "nobody")
    assert closed_folders(file, nobody) == [home]


def test_a_folder_that_takes_no_acl_is_told_with_the_remedy() -> None:
    """/proc knows no ACL, and /proc/<pid>/fd is its owner's alone."""
    with pytest.raises(HostLacks, match=r"may not enter /proc/\d+/fd .*chmod o\+x"):
        open_way(f"/proc/{os.getpid()}/fd/0/x")


def test_a_host_without_the_user_says_what_to_install() -> None:
    with pytest.raises(HostLacks, match="install libvirt"):
        find_account("no-such-user")
