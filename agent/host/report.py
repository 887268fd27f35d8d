"""What a host can do and why not, as `GET /api/host` and `horcrux doctor` tell it."""

from collections.abc import Mapping

import msgspec

from horcrux.compute.domain import Machine
from horcrux.compute.vm import Architecture


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a host can do, or why it cannot and what helps. `needed`: without it no VM runs here."""

    name: str
    ok: bool
    needed: bool = False
    detail: str = ""
    """What was found: a version, a path, a size."""
    reason: str = ""
    """Why not; empty when `ok`."""
    remedy: str = ""
    """What an operator does about it; empty when `ok`."""


def able(name: str, detail: str, *, needed: bool = False) -> Capability:
    return Capability(name=name, ok=True, needed=needed, detail=detail)


def unable(name: str, reason: str, remedy: str, *, needed: bool = False, detail: str = "") -> Capability:
    return Capability(name=name, ok=False, needed=needed, reason=reason, remedy=remedy, detail=detail)


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in MiB and GiB, as everywhere in this API."""

    hostname: str
    system: str
    """`Debian GNU/Linux 12 (bookworm)`."""
    kernel: str
    architecture: str
    cpu_model: str
    cpu_cores: int
    memory_mb: int
    memory_available_mb: int
    state_dir: str
    state_dir_free_gb: float
    machines: Mapping[Architecture, Machine]
    """What guests of each architecture would be run with; an architecture that is not here cannot be run."""
    has_virtlogd: bool
    capabilities: tuple[Capability, ...]

    def find(self, name: str) -> Capability:
        """The capability of that name; KeyError is a fault of ours."""
        return next(c for c in self.capabilities if c.name == name)
