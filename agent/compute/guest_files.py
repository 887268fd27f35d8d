"""The folders and files of this node's guests: sockets, logs of serial lines, firmware variables. Everything here blocks."""

import grp
import os
import re
from pathlib import Path

from agent.host.reach import QEMU_USER, find_account, open_way
from horcrux.compute.domain import HostFacts, nvram_file, serial_log, serial_socket, vnc_socket
from horcrux.ids import VmId

_ROTATED = re.compile(r"\.\d+\Z")


class GuestFiles:
    """Of the node that `host` describes."""

    def __init__(self, host: HostFacts) -> None:
        self._host = host

    def prepare(self) -> None:
        """The folders exist. QEMU, which runs as a user of its own, can make sockets in its two and nobody else can enter
        them, but for its group, which the console gate is in, to the screens; it can pass to the firmware variables.
        HostLacks when that cannot be had. Idempotent."""
        qemu = find_account()
        for name, mode in (("vnc", 0o710), ("serial", 0o700)):
            folder = Path(self._host.runtime_dir) / name
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, qemu.uid, _group_of_sockets())
            folder.chmod(mode)
            open_way(folder / "x", qemu)
        logs, nvram = Path(self._host.state_dir) / "serial", Path(self._host.state_dir) / "nvram"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        nvram.mkdir(mode=0o700, parents=True, exist_ok=True)
        open_way(nvram / "x", qemu)

    def remove(self, vm_id: VmId) -> None:
        """No file of `vm_id` is left, rotated logs included. Idempotent."""
        host = self._host
        log = Path(serial_log(host.state_dir, vm_id))
        files = [log, *(old for old in log.parent.glob(f"{log.name}.*") if _is_rotated(old, log))]
        files += [Path(vnc_socket(host.runtime_dir, vm_id)), Path(serial_socket(host.runtime_dir, vm_id))]
        for file in (*files, Path(nvram_file(host.state_dir, vm_id))):
            file.unlink(missing_ok=True)

    def started_at(self, vm_id: VmId) -> float | None:
        """When the guest was started: then its serial socket was made. None when there is none."""
        try:
            return Path(serial_socket(self._host.runtime_dir, vm_id)).stat().st_mtime
        except FileNotFoundError:
            return None


def _group_of_sockets() -> int:
    """As Debian builds libvirt, QEMU runs in a group that is called like its user. -1 (leave it) where there is none."""
    try:
        return grp.getgrnam(QEMU_USER).gr_gid
    except KeyError:
        return -1


def _is_rotated(path: Path, log: Path) -> bool:
    """virtlogd turns `x.log` into `x.log.0`, `x.log.1`; `vm-1.log.0.log` is another VM's."""
    return _ROTATED.fullmatch(path.name[len(log.name) :]) is not None
