"""The systemd units say what the agent and its console gate expect of each other, and systemd understands them."""

import subprocess
from pathlib import Path

UNITS = Path(__file__).parents[2] / "systemd"


def values(unit: str, key: str) -> list[str]:
    """Of every line `key=…` of the unit."""
    lines = (UNITS / unit).read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{key}=")]


def environment() -> dict[str, str]:
    words = " ".join(values("horcrux-agent.service", "Environment")).split()
    return dict(word.split("=", 1) for word in words)


def gate_options() -> dict[str, str]:
    command = values("horcrux-console.service", "ExecStart")[0].split()
    return dict(word.split("=", 1) for word in command if "=" in word)


def test_the_agent_asks_at_the_socket_on_which_the_gate_listens() -> None:
    assert environment()["HORCRUX_WEBSOCKIFY_SOCKET"] == gate_options()["--unix-listen"]


def test_the_gate_reads_the_key_where_the_agent_writes_it() -> None:
    """`agent.wiring` puts it beside the socket."""
    socket = Path(environment()["HORCRUX_WEBSOCKIFY_SOCKET"])
    assert gate_options()["--token-source"] == str(socket.with_name("console.pub"))


def test_systemd_makes_the_folders_that_the_units_use() -> None:
    assert values("horcrux-agent.service", "StateDirectory") == [Path(environment()["HORCRUX_STATE_DIR"]).name]
    assert values("horcrux-console.service", "RuntimeDirectory") == [Path(gate_options()["--unix-listen"]).parent.name]


def test_the_gates_user_is_the_one_that_is_made() -> None:
    made = [line.split()[1] for line in (UNITS / "horcrux.sysusers.conf").read_text().splitlines() if line[:1] == "u"]
    assert values("horcrux-console.service", "User") == made


def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    """With a program that exists in the place of ours, which need not be installed here."""
    for unit in UNITS.iterdir():
        if unit.suffix in {".service", ".target"}:
            (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/horcrux/bin/", "/usr/bin/env "))
    for unit in sorted(tmp_path.iterdir()):
        told = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
        about_ours = [line for line in told.stderr.splitlines() if "horcrux" in line]
        assert about_ours == []
