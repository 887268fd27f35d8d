"""Commands whose effect the whole host must see.

Under systemd the agent has a mount namespace of its own (`ProtectSystem=`) and may not call mount(2): what it mounted there
neither libvirt nor QEMU would see. systemd runs such a command for it, in a unit that ends with the command.
"""

from collections.abc import Sequence
from pathlib import Path

_SYSTEMD = Path("/run/systemd/system")
_RUN = ("systemd-run", "--quiet", "--wait", "--collect", "--pipe", "--service-type=exec", "--")


def outside(argv: Sequence[str]) -> tuple[str, ...]:
    """`argv`, run where the host's own mounts are; its output and exit code are those of the command. Reads /proc."""
    return (*_RUN, *argv) if _SYSTEMD.exists() and not _is_in_hosts_mounts() else tuple(argv)


def _is_in_hosts_mounts() -> bool:
    return Path("/proc/self/ns/mnt").readlink() == Path("/proc/1/ns/mnt").readlink()
