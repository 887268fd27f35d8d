from pathlib import Path

import pytest

from agent.host import outside as module
from agent.host.outside import outside


def test_without_systemd_a_command_is_run_as_it_is() -> None:
    if Path("/run/systemd/system").exists():
        assert outside(["true"])[-1] == "true"
    else:
        assert outside(["zfs", "mount", "a/b"]) == ("zfs", "mount", "a/b")


def test_in_a_unit_of_its_own_mounts_systemd_runs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_SYSTEMD", tmp_path)
    monkeypatch.setattr(module, "_is_in_hosts_mounts", lambda: False)
    argv = outside(["zfs", "mount", "a/b"])
    assert argv[0] == "systemd-run"
    assert argv[-3:] == ("zfs", "mount", "a/b")
    assert "--wait" in argv
