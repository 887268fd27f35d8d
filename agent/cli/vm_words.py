"""How VMs are written on the command line: `size=20,pool=local`, `2G`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.cli.client import Document
from agent.cli.exits import CliError, Exit

_DISK = {"size": "size_gb", "pool": "storage_pool", "image": "image", "bus": "bus", "cache": "cache"}
_NIC = {"bridge": "bridge", "vnet": "vnet", "mac": "mac", "model": "model"}
_UNITS = {"": 1.0, "m": 1.0, "g": 1024.0, "t": 1024.0 * 1024}


def _pairs(words: str, known: Mapping[str, str], what: str) -> Document:
    found: Document = {}
    for word in words.split(","):
        key, is_pair, value = word.partition("=")
        if not is_pair or key.strip() not in known or not value:
            raise CliError(f"{what} {words!r}: {word!r} is not one of {', '.join(known)}=…", Exit.USAGE)
        found[known[key.strip()]] = value.strip()
    return found


def _number(text: str, what: str) -> float:
    try:
        return float(text.lower().removesuffix("g"))
    except ValueError:
        raise CliError(f"{what}: {text!r} is no number of GiB", Exit.USAGE) from None


def disk_of(words: str) -> Document:
    """`20`, `20G`, or `size=20,pool=local,image=debian.qcow2,bus=virtio,cache=none`."""
    if re.fullmatch(r"[\d.]+[gG]?", words):
        return {"size_gb": _number(words, "--disk")}
    disk = _pairs(words, _DISK, "--disk")
    if "size_gb" in disk:
        disk["size_gb"] = _number(str(disk["size_gb"]), "--disk")
    return disk


def nic_of(words: str) -> Document:
    """`bridge=br0,model=virtio,mac=52:54:00:00:00:01`; `user` is QEMU's own network."""
    return {} if words == "user" else _pairs(words, _NIC, "--nic")


def mebibytes(text: str) -> int:
    """`2048`, `512M`, `2G` in MiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mgt]?)(?:i?b)?", text.strip().lower())
    if not found:
        raise CliError(f"--memory: {text!r} is no size", Exit.USAGE, "give MiB (2048) or a unit (2G)")
    return int(float(found[1]) * _UNITS[found[2]])


def _text_of(path: Path, option: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as err:
        raise CliError(f"{option}: {path} cannot be read: {err}", Exit.USAGE) from err


def cloud_init_of(
    user: str | None, ssh_keys: Sequence[Path], network: Path | None, user_data: Path | None
) -> Document | None:
    """The body's `cloud_init`; None when nothing of it was asked for."""
    wanted: Document = {}
    if user:
        wanted["user"] = user
    if ssh_keys:
        lines = [line.strip() for path in ssh_keys for line in _text_of(path, "--ssh-key").splitlines()]
        wanted["ssh_keys"] = [line for line in lines if line and not line.startswith("#")]
    if network:
        import yaml

        try:
            wanted["network"] = yaml.safe_load(_text_of(network, "--network-config"))
        except yaml.YAMLError as err:
            raise CliError(f"--network-config: {network} is no YAML: {err}", Exit.USAGE) from err
    if user_data:
        wanted["user_data"] = _text_of(user_data, "--user-data")
    return wanted or None
