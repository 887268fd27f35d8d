import os
import stat
from pathlib import Path

import pytest

from agent.node import NodeState
from horcrux.errors import Conflict, Invalid, InvalidFields


def opened(folder: Path, name: str = "n") -> NodeState:
    return NodeState.open(folder, name, os.urandom)


def test_a_folder_keeps_the_id_it_got_first(tmp_path: Path) -> None:
    first = opened(tmp_path / "state")
    first.close()
    second = opened(tmp_path / "state")
    second.close()
    assert first.node_id == second.node_id
    other = opened(tmp_path / "other")
    other.close()
    assert other.node_id != first.node_id


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    opened(tmp_path / "a/b/state").close()
    assert stat.S_IMODE((tmp_path / "a/b/state").stat().st_mode) == 0o700


def test_a_second_agent_is_told_that_the_folder_is_taken_and_the_first_end_frees_it(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(Conflict, match="another agent runs on the state folder"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Invalid, match="HORCRUX_STATE_DIR"):
        opened(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_an_id_that_cannot_be_read_is_never_replaced_by_a_new_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.json").write_bytes(content)
    with pytest.raises(Invalid, match="restore it"):
        opened(tmp_path)
    assert (tmp_path / "node.json").read_bytes() == content
    (tmp_path / "node.json").unlink()
    opened(tmp_path).close()


def test_a_name_that_is_none_is_refused_and_the_folder_stays_free(tmp_path: Path) -> None:
    with pytest.raises(InvalidFields, match="node_name"):
        opened(tmp_path, "no name")
    opened(tmp_path).close()


def test_a_start_is_the_first_since_boot_until_that_is_remembered(tmp_path: Path) -> None:
    state = opened(tmp_path)
    assert state.is_first_start_since_boot()
    assert state.is_first_start_since_boot(), "the agent died before it had done what a boot asks for"
    state.remember_boot()
    assert not state.is_first_start_since_boot()
    (tmp_path / "boot").write_text("another boot")
    assert state.is_first_start_since_boot()
    state.close()
