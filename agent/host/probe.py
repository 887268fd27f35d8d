"""What this host can do, and why not, asked of the host itself each time.

Everything blocks and runs on one thread of its own, so that a service that hangs delays nobody else.
"""

import grp
import platform
import socket
from pathlib import Path

import msgspec

from agent.blocking import BlockingPool
from agent.host.emulators import find_machines, probe_emulators
from agent.host.processor import (
    AccelWish,
    architecture_of,
    probe_acceleration,
    probe_kvm_device,
    probe_nesting,
    read_processor,
    why_not_kvm,
)
from agent.host.program import Run, run_program
from agent.host.report import HostReport
from agent.host.services import (
    probe_clock,
    probe_libvirt,
    probe_links,
    probe_memory,
    probe_nftables,
    probe_port,
    probe_qemu_img,
    probe_rights,
    probe_room,
    probe_virtlogd,
    probe_websockify,
    probe_zfs,
    read_memory,
)
from horcrux.clock import Clock
from horcrux.compute.domain import Machine
from horcrux.compute.vm import Architecture
from horcrux.config import Settings

_FRESH_S = 5.0
"""A report is told again for so long: several tabs ask at the same time, and a probe costs half a second of CPU."""


class ProbeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be looked at. `listen`: (host, port) an agent wants; None inside the agent, which has it already."""

    state_dir: Path
    accel: AccelWish = "auto"
    libvirt_uri: str = "qemu:///system"
    listen: tuple[str, int] | None = None
    root: Path = Path("/")
    """Where `proc`, `sys`, `dev` and `usr` are; a folder of its own in tests."""


def order_of(settings: Settings, *, is_agent: bool) -> ProbeOrder:
    """The order for these settings; an agent does not ask whether its own port is free."""
    return ProbeOrder(
        state_dir=Path(settings.state_dir),
        accel=settings.accel,
        libvirt_uri=settings.libvirt_uri,
        listen=None if is_agent else (settings.host, settings.port),
    )


def find_basis(order: ProbeOrder) -> tuple[dict[Architecture, Machine], bool]:
    """What an agent has to know before it can serve: the machines it can run, and whether virtlogd is there. Blocks for
    some milliseconds: nothing is started, unlike in `probe_now`."""
    root = order.root
    own = architecture_of(platform.machine())
    accel, _ = probe_acceleration(own, read_processor(root), order.accel, lambda: why_not_kvm(root / "dev/kvm"))
    return find_machines(root, own, accel), probe_virtlogd(root).ok


def probe_now(order: ProbeOrder, run: Run = run_program) -> HostReport:
    """The report. Blocks for up to a second; nothing on the host has changed afterwards."""
    root = order.root
    own = architecture_of(platform.machine())
    processor = read_processor(root)
    accel, acceleration = probe_acceleration(own, processor, order.accel, lambda: why_not_kvm(root / "dev/kvm"))
    machines, emulators = probe_emulators(root, own, accel, run)
    memory_mib, available_mib = read_memory(root)
    free_gib, room = probe_room(order.state_dir)
    virtlogd = probe_virtlogd(root)
    findings = [probe_libvirt(order.libvirt_uri), virtlogd, probe_qemu_img(run), *emulators, acceleration]
    findings += [
        probe_kvm_device(root / "dev/kvm", _group_id("kvm")),
        probe_nesting(root),
        probe_zfs(root, run),
        probe_nftables(run),
        *probe_links(run),
    ]
    findings += [probe_websockify(), probe_memory(available_mib), room, probe_clock(), probe_rights()]
    if order.listen:
        findings.append(probe_port(*order.listen))
    return HostReport(
        hostname=socket.gethostname(),
        system=_system(root),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu_model=processor.model,
        cpu_cores=processor.cores,
        memory_mb=memory_mib,
        memory_available_mb=available_mib,
        state_dir=str(order.state_dir),
        state_dir_free_gb=free_gib,
        machines=machines,
        has_virtlogd=virtlogd.ok,
        capabilities=tuple(findings),
    )


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _system(root: Path) -> str:
    """The distribution's own name for itself (os-release(5))."""
    for candidate in (root / "etc/os-release", root / "usr/lib/os-release"):
        if candidate.is_file():
            for line in candidate.read_text().splitlines():
                if line.startswith("PRETTY_NAME="):
                    return line.partition("=")[2].strip('"')
    return "Linux"


class HostProbe:
    """Asks on a thread of its own. Close it when its owner closes."""

    def __init__(self, order: ProbeOrder, clock: Clock) -> None:
        self._order = order
        self._clock = clock
        self._pool = BlockingPool("host-probe")
        self._last: tuple[float, HostReport] | None = None

    async def report(self) -> HostReport:
        """As the host is now, or was at most 5 s ago."""
        if self._last and self._clock.monotonic() - self._last[0] < _FRESH_S:
            return self._last[1]
        report = await self._pool.run(probe_now, self._order)
        self._last = (self._clock.monotonic(), report)
        return report

    def close(self) -> None:
        """Waits for a probe under way; blocks."""
        self._pool.close()
