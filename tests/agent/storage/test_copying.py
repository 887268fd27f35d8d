"""What a source holds, before a volume is made for it."""

from pathlib import Path

import pytest

from agent.storage.copying import content_bytes
from horcrux.errors import HostLacks, NotFound, Unavailable


def test_a_raw_file_holds_its_length(tmp_path: Path) -> None:
    (tmp_path / "disk0.raw").write_bytes(b"x" * 1024)
    assert content_bytes("disk1", str(tmp_path / "disk0.raw"), "raw") == 1024


def test_a_source_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="disk1"):
        content_bytes("disk1", str(tmp_path / "gone.raw"), "raw")


def test_a_source_that_the_kernel_does_not_let_us_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="disk1"):
        content_bytes("disk1", str(tmp_path), "qcow2")
    with pytest.raises(Unavailable, match="disk1"):
        content_bytes("disk1", str(tmp_path / ("x" * 300)), "raw")


def test_a_source_behind_a_protocol_says_the_way_out() -> None:
    with pytest.raises(HostLacks, match="folder pool"):
        content_bytes("disk1", "rbd:pool/disk0", "raw")
